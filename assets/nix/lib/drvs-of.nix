# The derivations that a text names outputs of.
text:
let context = builtins.getContext text; in
builtins.filter (drv: context.${drv} ? outputs) (builtins.attrNames context)
