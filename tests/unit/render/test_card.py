"""The model card, read as the Hub reads it: metadata, and Markdown with tables."""

from __future__ import annotations

import ast
import re
from dataclasses import replace

import pytest
import samples
import yaml
from markdown_it import MarkdownIt
from samples import HOSTILE

from ast2hf.errors import printable
from ast2hf.families import FAMILIES
from ast2hf.render import card
from ast2hf.results import CheckResult, Metric

report = pytest.fixture(samples.report)
headless = pytest.fixture(samples.headless)


def read(text):
    """Metadata, and the tokens of the rest."""
    _, metadata, body = text.split("---\n", 2)
    return yaml.safe_load(metadata), MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(body)


def tables(tokens):
    """Each table as rows of the plain text of their cells."""
    found = []
    for number, token in enumerate(tokens):
        match token.type:
            case "table_open":
                found.append([])
            case "tr_open":
                found[-1].append([])
            case "th_open" | "td_open":
                found[-1][-1].append(plain(tokens[number + 1]))
    return found


def plain(token):
    return "".join(child.content for child in token.children)


def snippet(tokens):
    return next(token.content for token in tokens if token.type == "fence" and token.info == "python")


def test_every_check_has_its_row_with_measure_tolerance_and_status(report):
    _, tokens = read(card.render(report))
    _, proof = tables(tokens)
    assert proof == [
        ["check", "measured", "tolerance", "status"],
        ["tensors of the checkpoint", "151 mapped, 4 dropped, 160 written", "exact", "passed"],
        ["written weights", "160 bit exact, 0 recomputed", "exact", "passed"],
        ["feature extractor", "max difference 0", "0.005", "passed"],
        ["pooled output", "max difference 1.90e-06", "5e-06", "passed"],
        ["all logits", "max difference 1.29e-05", "2e-05 + 1e-05 of the value", "passed"],
        ["published logits", "not the official clip", "", "not checked"],
    ]


def test_what_comes_from_outside_breaks_no_table_and_is_no_html(report):
    report.model = report.clip = report.labels = report.notes[0] = report.source["uri"] = HOSTILE
    report.source["prefix"] = HOSTILE
    report.checks["x"] = CheckResult("x", HOSTILE, "not_checked", HOSTILE)
    text = card.render(report)
    metadata, tokens = read(text)
    provenance, proof = tables(tokens)
    assert {len(row) for row in provenance} == {2}
    assert {len(row) for row in proof} == {4}
    shown = HOSTILE.replace("\x1b", "\\x1b").replace("\n", "\\n")
    assert proof[-1] == [shown, shown, "", "not checked"]
    assert [value for _, value in provenance].count(shown) == 4
    kinds = [token.type for token in tokens] + [c.type for token in tokens for c in token.children or ()]
    assert not [kind for kind in kinds if kind.startswith(("html", "link", "image"))]
    assert "<script" not in text
    assert metadata["library_name"] == "transformers"


HOSTILE_NAMES = (
    "---\nlicense: mit\n---\n",
    "```\nimport os\n```",
    "``` `x` ``y``",
    "\r\n\r\n# heading\n\n- list\n\n1. list\n\n> quote\n\n    code\n\n***",
    "# heading",
    "a | b | c |",
    "\\| \\\\| \\`a\\`",
    "<!-- comment",
    "<img src=x onerror=alert(1)><script>alert(1)</script>",
    "<http://host.example>",
    "[a](http://host.example) ![a](http://host.example/a.png) [a]: http://host.example",
    "*a* **b** _c_ __d__ ~~e~~ ~f~ snake_case_name",
    "$a$ $$b$$",
    "&lt;script&gt; &amp; &#124; &copy;",
    "{{ 7*7 }} {% raw %} {# x #}",
    "\u202egpj.x \u200b\u2066\ufeff",
    "\x1b[31m\x00\x85\u2028",
    'folder = "path/to/this/folder"  # or its name on the Hub',
    "x" * 10_000,
    "title #",
)


def kinds(tokens):
    """What a reader of Markdown makes of the card, apart from its plain text."""
    inner = [child.type for token in tokens for child in token.children or () if child.type != "text"]
    return [token.type for token in tokens], inner


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_no_name_from_outside_changes_what_the_card_is(report, name):
    metadata, tokens = read(card.render(report))
    expected = kinds(tokens)
    report.model = report.clip = report.labels = report.notes[0] = report.source["uri"] = name
    report.environment["torchaudio"] = name
    report.checks["coverage"] = CheckResult("coverage", name, "passed", name, {"mapped": 151})
    report.checks["published_logits"] = CheckResult("published_logits", name, "not_checked", name)
    text = card.render(report)
    assert kinds(read(text)[1]) == expected
    assert read(text)[0] == metadata
    assert not re.search("[\\x00-\\x09\\x0b-\\x1f\\x85\\u200b\\u2028\\u202e\\u2066\\ufeff]", text)
    assert "<img" not in text
    assert "<script" not in text
    assert 'folder = "me/model"\n' in snippet(read(card.with_place(text, "me/model"))[1])


def test_a_name_within_bounds_is_shown_as_it_is(report):
    for name in ("ast-16_16", "a_b.pth", "snake_case_name.pth", "clip (1).wav", "caf\u00e9.csv"):
        report.clip = name
        assert f"with the clip {name}, against" in card.render(report)


def test_a_folder_is_not_named_in_its_card(report):
    text = snippet(read(card.render(report))[1])
    assert 'folder = "path/to/this/folder"  # or its name on the Hub\n' in text
    ast.parse(text)


def test_on_the_hub_the_snippet_names_the_repository(report):
    text = snippet(read(card.with_place(card.render(report), "me/model"))[1])
    assert 'folder = "me/model"\n' in text
    assert "path/to" not in text


@pytest.mark.parametrize(
    ("problem_type", "activation"),
    [("multi_label_classification", ".sigmoid()"), ("single_label_classification", ".softmax(dim=0)")],
)
def test_the_snippet_scores_as_the_model_was_trained(report, problem_type, activation):
    report.problem_type = problem_type
    text = snippet(read(card.render(report))[1])
    assert activation in text
    assert "topk(1)" in text


def test_an_encoder_alone_shows_what_it_gives_instead(headless):
    metadata, tokens = read(card.render(headless))
    assert metadata["pipeline_tag"] == "feature-extraction"
    text = snippet(tokens)
    ast.parse(text)
    assert "AutoModel.from_pretrained(folder)" in text
    assert "outputs.last_hidden_state" in text
    assert "outputs.pooler_output" in text
    assert "logits" not in text
    (row,) = (row for row in tables(tokens)[1] if row[0] == "all logits")
    assert row[1:] == ["the folder has no head", "", "not applicable"]


def test_the_licence_is_the_authors_where_it_is_known(report):
    metadata, _ = read(card.render(report, "bsd-3-clause"))
    assert metadata["license"] == "bsd-3-clause"
    assert "published under bsd-3-clause" in card.render(report, "bsd-3-clause")


def test_and_is_not_invented_where_it_is_not(report):
    text = card.render(report)
    metadata, _ = read(text)
    assert metadata == {
        "library_name": "transformers",
        "pipeline_tag": "audio-classification",
        "tags": ["audio-spectrogram-transformer", "ast2hf"],
    }
    assert "ask their author" in text


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_it_cites_the_authors(report, family):
    _, tokens = read(card.render(report, citation=family.citation))
    (citation,) = (token.content for token in tokens if token.info == "bibtex")
    assert citation.startswith("@inproceedings{")
    assert citation.rstrip() == family.citation
    assert citation.count("{") == citation.count("}")
    assert all(f" {field} " in citation for field in ("author", "title", "booktitle", "year"))


def test_each_family_has_the_paper_of_its_own():
    papers = {family.name: family.citation for family in FAMILIES.values()}
    assert papers.pop("ssast_frame") == papers["ssast"]
    assert len(set(papers.values())) == len(papers)


def test_it_cites_nobody_where_no_paper_is_given(report):
    assert "bibtex" not in card.render(report)


def test_it_explains_the_epsilon(report):
    assert "one epsilon for all; 1e-06 is used" in card.render(report)


@pytest.mark.parametrize(
    ("torchaudio", "text"), [("2.9.0+cpu", "torchaudio 2.9.0+cpu"), ("not installed", "the numpy implementation")]
)
def test_it_says_which_code_computed_the_features(report, torchaudio, text):
    report.environment["torchaudio"] = torchaudio
    assert f"computed by {text}" in card.render(report)


def test_a_card_of_synthetic_weights_says_that_they_mean_nothing(report):
    assert "synthetic" not in card.render(report)
    report.source["uri"] = "synthetic:0"
    assert "The weights are synthetic" in card.render(report)


def described(report):
    """``report`` of a family whose features no extractor computes."""
    report.front_end = {
        "sampling_rate": 32000, "num_mel_bins": 96, "max_length": 626, "frame_shift_ms": 16.0, "features": "log *mel*",
        "normalisation": "(x - 2) / 3", "not_expressible": "it has other windows",
    }  # fmt: skip
    report.clip, report.top5, report.geometry = "synthetic features (seed 0)", [], {"num_labels": 3}
    return report


def test_without_an_extractor_it_says_which_features_the_model_wants(report):
    text = card.render(described(report))
    _, tokens = read(text)
    features = tables(tokens)[0]
    assert features[1:] == [
        ["clip", "one channel at 32000 Hz"],
        ["shape", "(batch, 626, 96): frames of 16 ms, then mel bands"],
        ["features", "log *mel*"],
        ["normalised", "(x - 2) / 3, where x are the features"],
    ]
    assert "a `pipeline` cannot be used:** it has other windows" in text
    assert "with synthetic features (seed 0), against" in text
    code = snippet(tokens)
    ast.parse(code)
    assert "torch.randn(1, 626, 96)" in code
    assert "topk(3)" in code
    assert "extractor" not in code
    assert "torchaudio" not in text
    metadata, _ = read(card.render(described(report)))
    assert "pipeline_tag" not in metadata


def test_another_family_is_named(report):
    assert "family" not in card.render(report).partition("## Use")[0]
    report.family = "passt"
    assert "Audio Spectrogram Transformer (of the family passt), converted" in card.render(report)


def test_an_ordinary_card_speaks_of_none_of_that(report):
    text = card.render(report)
    for word in ("pipeline` cannot", "Not equal to the source", "head.safetensors", "square root", ".mean(1)"):
        assert word not in text


@pytest.mark.parametrize(
    ("shapes", "known"),
    [
        ({"h.0.weight": [4], "h.0.bias": [4], "h.2.weight": [3, 4], "h.2.bias": [3]}, ("h.0.", "h.2.")),
        ({"h.0.weight": [4], "h.0.bias": [4], "h.3.weight": [3, 4], "h.3.bias": [3]}, None),
        ({"g.0.weight": [4], "g.0.bias": [4], "h.1.weight": [3, 4], "h.1.bias": [3]}, None),
        ({"h.weight": [3, 4], "h.bias": [3]}, None),
        ({"h.0.weight": [4], "h.0.bias": [4], "h.1.weight": [3, 5], "h.1.bias": [3]}, None),
        ({"h.0.weight": [4, 4], "h.0.bias": [4], "h.1.weight": [3, 4], "h.1.bias": [3]}, None),
        ({"h.0.weight": [4], "h.0.bias": [4], "h.1.weight": [3, 4], "h.1.scale": [3]}, None),
        ({'"]; x("weight': [4], "h.0.bias": [4], "h.1.weight": [3, 4], "h.1.bias": [3]}, None),
        ({}, None),
    ],
)
def test_code_for_a_head_is_given_where_it_is_a_norm_and_a_linear_layer(headless, shapes, known):
    assert card.head_layers(shapes) == known
    headless.head_apart = shapes
    text = card.render(headless)
    assert ("### The head" in text) == bool(shapes)
    assert ("layer_norm(" in text) == (known is not None)
    assert ("does not record what lies between them" in text) == bool(shapes and known is None)


def test_a_head_is_listed_without_formatting(headless):
    headless.head_apart = {HOSTILE: [4]}
    kinds = [token.type for token in read(card.render(headless))[1]]
    assert not [kind for kind in kinds if kind.startswith("html")]


@pytest.mark.parametrize("headline", ["mAP", "accuracy"])
def test_the_figures_over_a_data_set_stand_side_by_side(headline):
    evaluation = samples.evaluation(headline)
    text = card.render(samples.over_a_data_set(evaluation))
    _, tokens = read(text)
    figures = tables(tokens)[2]
    assert figures[0] == ["figure", "original", "this model", "difference"]
    assert figures[1][0] == headline
    assert ["mAP", "0.459033", "0.458890", "-1.43e-04"] in figures
    for words in (
        "Measured in float32 on 400 clips of ESC-50, fold 1 (2 more could not be read):",
        "- agreement: 99.75 % of the clips have the same best label",
        "mAP over few clips is higher than over many", "1 class is left out of mAP, AUC and d'",
    ):  # fmt: skip
        assert words in text
    assert "a second" not in text, "that is of a machine"
    assert "clips/" not in text, "these are files of a machine"


def test_the_metadata_has_the_figures_of_the_converted_model_and_says_on_how_many_clips():
    evaluation = samples.evaluation()
    metadata, _ = read(card.render(samples.over_a_data_set(evaluation)))
    (index,) = metadata["model-index"]
    assert index["name"] == "m"
    (result,) = index["results"]
    assert result["task"] == {"type": "audio-classification"}
    assert result["dataset"] == {
        "name": "ESC-50, fold 1 (400 clips)", "type": "ESC-50, fold 1", "args": {"clips": 400}
    }  # fmt: skip
    values = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert values == {
        "mean_average_precision": evaluation.metrics["mAP"].converted,
        "roc_auc": evaluation.metrics["AUC"].converted,
        "d_prime": evaluation.metrics["d_prime"].converted,
        "accuracy": 0.9575,
        "top_5_accuracy": 0.995,
    }


def test_the_hub_reads_the_figures_back():
    from huggingface_hub import ModelCard

    read_back = ModelCard(card.render(samples.over_a_data_set(samples.evaluation()))).data.eval_results
    assert [result.metric_name for result in read_back] == ["mAP", "AUC", "d'", "accuracy", "accuracy, top 5"]
    assert {result.dataset_name for result in read_back} == {"ESC-50, fold 1 (400 clips)"}


def test_what_is_undefined_is_not_in_the_metadata():
    evaluation = samples.evaluation()
    evaluation = replace(evaluation, metrics={**evaluation.metrics, "d_prime": Metric(2.5, None)})
    text = card.render(samples.over_a_data_set(evaluation))
    assert "d_prime" not in text
    assert "| undefined |" in text


def test_a_screening_is_in_the_text_alone():
    text = card.render(samples.over_a_data_set(replace(samples.evaluation(), dtype="bfloat16")))
    assert "Measured in bfloat16 on 400 clips" in text
    assert "model-index" not in read(text)[0]


def test_a_card_without_a_data_set_says_nothing_of_one(report):
    text = card.render(report)
    assert "model-index" not in text
    assert "data set" not in text


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_no_name_of_a_data_set_changes_what_the_card_is(name):
    evaluation = samples.renamed(samples.evaluation(), "tame")
    expected = kinds(read(card.render(samples.over_a_data_set(evaluation)))[1])
    text = card.render(samples.over_a_data_set(samples.renamed(evaluation, name)))
    metadata, tokens = read(text)
    assert kinds(tokens) == expected
    assert set(metadata) == {"library_name", "pipeline_tag", "tags", "model-index"}
    assert metadata["model-index"][0]["results"][0]["dataset"]["type"] == printable(name)
    assert "<img" not in text.partition("# m")[2]
    assert "<script" not in text.partition("# m")[2]
