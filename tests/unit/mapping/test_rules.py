from ast2hf.mapping.rules import Drop, Times, expand, rename, sizes, split


def test_layer_is_filled_in_everywhere():
    (renamed,) = expand([rename("a.{layer}", "b.{layer}", ())], 1)
    assert (renamed.sources, renamed.targets) == (("a.0",), ("b.0",))
    first, second = expand([split("a.{layer}", ("b.{layer}.x", "b.{layer}.y"), ("n",))], 2)
    assert (first.sources, first.targets) == (("a.0",), ("b.0.x", "b.0.y"))
    assert (second.sources, second.targets) == (("a.1",), ("b.1.x", "b.1.y"))


def test_expand_repeats_layered_rules_only():
    rules = (rename("a", "b", ()), rename("c.{layer}", "d.{layer}", ()), Drop("e", "unused", ()))
    found = expand(rules, 2)
    assert [name for rule in found[:-1] for name in rule.sources] == ["a", "c.0", "c.1"]
    assert found[-1] == rules[-1]


def test_shapes_are_symbols_and_multiples_of_them():
    assert sizes((1, "n", Times(3, "n")), {"n": 4}) == (1, 4, 12)


def test_the_source_of_a_split_is_as_many_times_as_large():
    assert split("s", ("a", "b", "c"), ("n", 2)).shapes == ((Times(3, "n"), 2),)
