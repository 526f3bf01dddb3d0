# expect: deployment.keys.db.text' must be one text, said once (what was said is not shown)
{
  defaults = { deployment.keys.db.text = "one"; };
  network.web = { deployment.keys.db.text = "two"; };
}
