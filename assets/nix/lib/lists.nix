# Functions on lists, under nixpkgs' names.
let
  trivial = import ./trivial.nix;
  inherit (trivial) min compare;
in
rec {
  inherit (builtins) head tail length isList elemAt concatLists filter elem genList map concatMap all any
    partition groupBy foldl' sort;

  singleton = x: [ x ];
  forEach = xs: f: map f xs;
  foldr = op: nul: list:
    let
      len = length list;
      go = n: if n == len then nul else op (elemAt list n) (go (n + 1));
    in
    go 0;
  fold = foldr;
  foldl = op: nul: list: foldl' op nul list;
  imap0 = f: list: genList (n: f n (elemAt list n)) (length list);
  imap1 = f: list: genList (n: f (n + 1) (elemAt list n)) (length list);
  flatten = x: if isList x then concatMap flatten x else [ x ];
  remove = e: filter (x: x != e);
  findFirst = pred: default: list: let hits = filter pred list; in if hits == [ ] then default else head hits;
  findSingle = pred: default: multiple: list:
    let hits = filter pred list; in
    if hits == [ ] then default else if length hits == 1 then head hits else multiple;
  count = pred: foldl' (c: x: if pred x then c + 1 else c) 0;
  optional = cond: elem: if cond then [ elem ] else [ ];
  optionals = cond: elems: if cond then elems else [ ];
  toList = x: if isList x then x else [ x ];
  range = first: last: if first > last then [ ] else genList (n: first + n) (last - first + 1);
  replicate = n: elem: genList (_: elem) n;
  zipListsWith = f: a: b: genList (n: f (elemAt a n) (elemAt b n)) (min (length a) (length b));
  zipLists = zipListsWith (fst: snd: { inherit fst snd; });
  reverseList = xs: let l = length xs; in genList (n: elemAt xs (l - n - 1)) l;
  sublist = start: count: list:
    let len = length list; in
    genList (n: elemAt list (n + start))
      (if start >= len then 0 else if start + count > len then len - start else count);
  take = count: sublist 0 count;
  drop = count: list: sublist count (length list) list;
  last = list: if list == [ ] then throw "lib.last: the list is empty" else elemAt list (length list - 1);
  init = list: if list == [ ] then throw "lib.init: the list is empty" else take (length list - 1) list;
  unique = foldl' (acc: e: if elem e acc then acc else acc ++ [ e ]) [ ];
  allUnique = list: length (unique list) == length list;
  intersectLists = e: filter (x: elem x e);
  subtractLists = e: filter (x: !(elem x e));
  mutuallyExclusive = a: b: !(any (x: elem x a) b);
  hasPrefix = a: b: take (length a) b == a;
  crossLists = f: foldl (fs: args: concatMap (f: map f args) fs) [ f ];
  compareLists = cmp: a: b:
    if a == [ ] then (if b == [ ] then 0 else -1)
    else if b == [ ] then 1
    else let rel = cmp (head a) (head b); in if rel == 0 then compareLists cmp (tail a) (tail b) else rel;
  sortOn = f: list: map (p: elemAt p 1) (sort (a: b: head a < head b) (map (x: [ (f x) x ]) list));
  # Sorts names with numbers in them by their numbers: web2 before web10.
  naturalSort = list:
    let
      vectorise = s: map (x: if isList x then builtins.fromJSON (head x) else x)
        (builtins.split "(0|[1-9][0-9]*)" s);
      less = a: b: compareLists mixed (head a) (head b) < 0;
      mixed = a: b:
        if builtins.typeOf a == builtins.typeOf b then compare a b else if builtins.isInt a then -1 else 1;
    in
    map (x: elemAt x 1) (sort less (map (x: [ (vectorise x) x ]) list));
}
