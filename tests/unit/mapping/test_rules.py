from ast2hf.mapping.plan import expand
from ast2hf.mapping.rules import Drop, Rename, Split


def test_layer_is_filled_in_everywhere():
    assert Rename("a.{layer}", "b.{layer}", ()).at(3) == Rename("a.3", "b.3", ())
    assert Split("a.{layer}", ("b.{layer}.x", "b.{layer}.y"), ()).at(0) == Split("a.0", ("b.0.x", "b.0.y"), ())


def test_expand_repeats_layered_rules_only():
    rules = (Rename("a", "b", ()), Rename("c.{layer}", "d.{layer}", ()), Drop("e", "unused"))
    assert [r.source for r in expand(rules, 2)] == ["a", "c.0", "c.1", "e"]
