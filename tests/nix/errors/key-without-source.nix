# expect: node web: deployment.keys.db: it has no source; give one of text, keyCommand and keyFile
{ network.web = { deployment.keys.db.user = "postgres"; }; }
