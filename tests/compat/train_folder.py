"""Change the weights of model folders as training does, and save them, with whatever transformers is installed.

Arguments: any number of CHANGE SOURCE TARGET. Knows nothing of ast2hf. Prints what each changed model computes.
"""

import json
import sys

import torch
import transformers
from transformers import ASTConfig, ASTForAudioClassification, ASTModel, AutoFeatureExtractor

LABELS = {0: "zero", 1: "ä, one", 2: "two"}


def start(change, source):
    """The model that is trained."""
    if change == "encoder":
        return ASTModel.from_pretrained(source)
    if change == "other_labels":
        config = ASTConfig.from_pretrained(
            source, id2label=LABELS, label2id={name: i for i, name in LABELS.items()},
            problem_type="single_label_classification",
        )  # fmt: skip
        return ASTForAudioClassification.from_pretrained(source, config=config, ignore_mismatched_sizes=True)
    if change == "two_unnamed_labels":  # as many as by default, which then are not in the file
        named = {"id2label": {0: "LABEL_0", 1: "LABEL_1"}, "label2id": {"LABEL_0": 0, "LABEL_1": 1}}
        config = ASTConfig.from_pretrained(source, **named)
        return ASTForAudioClassification.from_pretrained(source, config=config, ignore_mismatched_sizes=True)
    return ASTForAudioClassification.from_pretrained(source)


def train(model):
    """Steps that move every weight. Three, as the first of AdamW is all but the same for each."""
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    shape = (4, model.config.max_length, model.config.num_mel_bins)
    for _ in range(3):
        outputs = model.train()(torch.randn(shape, generator=generator))
        output = outputs.logits if "logits" in outputs else outputs.pooler_output
        target = torch.randn(output.shape, generator=generator)
        torch.nn.functional.mse_loss(output, target).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


torch.manual_seed(0)  # for the heads of other sizes
found = []
for change, source, target in zip(*[iter(sys.argv[1:])] * 3, strict=True):
    model = train(start(change, source))
    if change == "bfloat16":
        model = model.to(torch.bfloat16)
    model.save_pretrained(target)
    if change == "with_extractor":
        AutoFeatureExtractor.from_pretrained(source).save_pretrained(target)
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(1, model.config.max_length, model.config.num_mel_bins, generator=generator)
    with torch.inference_mode():
        outputs = model.float()(features)
    output = outputs.logits if "logits" in outputs else outputs.pooler_output
    found.append({"version": transformers.__version__, "output": output[0].tolist()})
print(json.dumps(found))
