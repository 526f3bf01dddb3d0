# Makes Trac's environments, as far as they are missing: the directory, the tables, the first pages.
#
# A project's directory and its database are on different machines, and either may have been thrown away
# while the other lasts: what is there is kept, what is missing is made.
import os
import shutil

from trac.db.api import DatabaseManager
from trac.env import Environment


def options(ini):
    section = None
    for line in ini.splitlines():
        line = line.strip()
        if line.startswith('['):
            section = line[1:-1]
        elif '=' in line:
            key, _, value = line.partition('=')
            yield section, key.strip(), value.strip()


def has_tables(uri, path):
    import psycopg2
    from urllib.parse import urlsplit
    parts = urlsplit(uri)
    connection = psycopg2.connect(host=parts.hostname, port=parts.port, user=parts.username,
                                  password=parts.password, dbname=parts.path[1:])
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('public.system')")
        return cursor.fetchone()[0] is not None


def load_pages(env):
    import trac.wiki
    from trac.wiki.admin import WikiAdmin
    WikiAdmin(env).load_pages(os.path.join(os.path.dirname(trac.wiki.__file__), 'default-pages'))


def set_up(project):
    path, uri = project['path'], project['uri']
    wanted = list(options(project['ini'])) + [('trac', 'database', uri)]
    exists = os.path.exists(os.path.join(path, 'VERSION')) and os.path.exists(os.path.join(path, 'conf', 'complete'))
    tables = has_tables(uri, path)
    if exists and not tables or not exists and os.path.isdir(path):
        shutil.rmtree(path)
        exists = False
    if not exists:
        if tables:
            # The tables last: make the directory with a database of its own, then lead it to them.
            Environment(path, True, wanted + [('trac', 'database', 'sqlite:db/trac.db')]).shutdown()
            os.remove(os.path.join(path, 'db', 'trac.db'))
        else:
            env = Environment(path, True, wanted)
            load_pages(env)
            env.shutdown()
    env = Environment(path)
    changed = False
    for section, key, value in wanted:
        if env.config.get(section, key) != value:
            env.config.set(section, key, value)
            changed = True
    if changed:
        env.config.save()
    if env.needs_upgrade():
        env.upgrade()
    for user in project['adminUsers']:
        from trac.perm import PermissionSystem
        permissions = PermissionSystem(env)
        if 'TRAC_ADMIN' not in permissions.get_user_permissions(user):
            permissions.grant_permission(user, 'TRAC_ADMIN')
    if project['svnRepo'] and not exists:
        from trac.versioncontrol.api import RepositoryManager
        RepositoryManager(env).get_repository('').sync()
    open(os.path.join(path, 'conf', 'complete'), 'w').close()
    env.shutdown()
