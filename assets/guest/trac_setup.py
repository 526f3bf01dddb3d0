# Makes Trac's environments, as far as they are missing: the directory, the tables, the first pages.
#
# A project's directory and its database are on different machines, and either may have been thrown away
# while the other lasts: what is there is kept, what is missing is made. Power may fail at any moment: a file in
# the directory says that it is complete, and a table that the database is not, from before the first of
# Trac's tables until after the last page. What was left unfinished is thrown away and made anew; tables
# that were not begun here never are.
import os
import shutil
from urllib.parse import urlsplit

import psycopg2
from trac.db_default import schema
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


class Database:
    """The state of a project's tables; the statements stand as soon as they return."""

    UNFINISHED = 'public.diorama_trac_unfinished'

    def __init__(self, uri):
        parts = urlsplit(uri)
        self.connection = psycopg2.connect(host=parts.hostname, port=parts.port, user=parts.username,
                                           password=parts.password, dbname=parts.path[1:])
        self.connection.autocommit = True
        self.cursor = self.connection.cursor()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def has(self, table):
        self.cursor.execute('SELECT to_regclass(%s)', (table,))
        return self.cursor.fetchone()[0] is not None

    def begin(self):
        self.cursor.execute(f'CREATE TABLE {self.UNFINISHED} ()')

    def finish(self):
        self.cursor.execute(f'DROP TABLE IF EXISTS {self.UNFINISHED}')

    def throw_away_unfinished(self):
        if not self.has(self.UNFINISHED):
            return
        # The server knows nothing of this machine's power: sessions from before may still hold locks.
        self.cursor.execute('SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE pid <> pg_backend_pid()'
                            ' AND usename = current_user AND datname = current_database()'
                            ' AND client_addr IS NOT DISTINCT FROM inet_client_addr()')
        for table in schema:
            self.cursor.execute(f'DROP TABLE IF EXISTS public."{table.name}" CASCADE')
        self.finish()


def load_pages(env):
    import trac.wiki
    from trac.wiki.admin import WikiAdmin
    WikiAdmin(env).load_pages(os.path.join(os.path.dirname(trac.wiki.__file__), 'default-pages'))


def set_up(project):
    with Database(project['uri']) as database:
        database.throw_away_unfinished()
        make(project, database)


def make(project, database):
    path, uri = project['path'], project['uri']
    complete = os.path.join(path, 'conf', 'complete')
    wanted = list(options(project['ini'])) + [('trac', 'database', uri)]
    tables = database.has('public.system')
    exists = tables and os.path.exists(complete)
    if not exists:
        if os.path.isdir(path):
            shutil.rmtree(path)
        if tables:
            # The tables last: make the directory with a database of its own, then lead it to them.
            Environment(path, True, wanted + [('trac', 'database', 'sqlite:db/trac.db')]).shutdown()
            os.remove(os.path.join(path, 'db', 'trac.db'))
        else:
            database.begin()
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
    env.shutdown()
    database.finish()
    if not exists:
        # Before the file that vouches for them, the others must be on the disk.
        os.sync()
        open(complete, 'w').close()
