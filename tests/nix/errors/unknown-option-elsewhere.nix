# expect: node web: the option `services.memorySize' does not exist
# expect: Did you mean `virtualisation.memorySize'?
{ web.services.memorySize = 100; }
