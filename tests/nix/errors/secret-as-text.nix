# expect: a secret is a set with `source' and `destination', not text (what was said is not shown)
{ network = { web = { ... }: { deployment.secrets.db = "hush"; }; }; }
