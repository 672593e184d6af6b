"""Load a model folder with whatever transformers is installed and print what comes out. Knows nothing of ast2hf."""

import json
import sys

import numpy as np
import torch
import transformers
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

folder = sys.argv[1]
model, info = AutoModelForAudioClassification.from_pretrained(folder, output_loading_info=True)
extractor = AutoFeatureExtractor.from_pretrained(folder)
generator = torch.Generator().manual_seed(0)
features = torch.randn(1, model.config.max_length, model.config.num_mel_bins, generator=generator)
clip = np.random.default_rng(0).uniform(-0.1, 0.1, 16000).astype(np.float32)
with torch.inference_mode():
    logits = model.eval()(features).logits[0]
print(
    json.dumps(
        {
            "version": transformers.__version__,
            "loading": {
                key: sorted(map(str, info[key])) for key in ("missing_keys", "unexpected_keys", "mismatched_keys")
            },
            "logits": logits.tolist(),
            "dtype": str(next(model.parameters()).dtype),
            "eps": model.config.layer_norm_eps,
            "problem_type": model.config.problem_type,
            "labels": [model.config.id2label[i] for i in range(3)],
            "label2id": model.config.label2id,
            "extractor": {
                key: getattr(extractor, key) for key in ("mean", "std", "max_length", "num_mel_bins", "sampling_rate")
            },
            "features": list(extractor(clip, sampling_rate=16000, return_tensors="np")["input_values"].shape),
        }
    )
)
