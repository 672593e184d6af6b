"""The typed schema of the configuration.

The YAML files under ``conf/`` hold the values and their explanations; the dataclasses here hold the types, so that a
wrong key or type is an error before anything starts. Imports neither torch nor transformers: ``--help`` stays quick.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING

MULTI_LABEL = "multi_label_classification"
SINGLE_LABEL = "single_label_classification"
"""The values of ``problem_type``; the names are those of transformers."""


@dataclass
class HubFile:
    """A file of a data set repository on the Hugging Face Hub."""

    repo: str = MISSING
    filename: str = MISSING


@dataclass
class HubRow:
    """The first row of a split of a data set on the Hugging Face Hub, stored as ``config/split/*.parquet``."""

    repo: str = MISSING
    config: str = MISSING
    split: str = MISSING
    revision: str = MISSING


@dataclass
class ExpectedLogits:
    """The first logits of the published model on its published clip, and the difference that still passes."""

    values: list[float] = field(default_factory=list)
    atol: float = 1e-4


@dataclass
class Variant:
    """One variant. A ``null`` is read from the checkpoint's tensors, or asked for if they do not show it.

    ``family``: one of :data:`ast2hf.families.FAMILIES`; ``pooling``: ``cls`` (the mean of the two class tokens) or
    ``mean`` (of the patches). ``head``: ``classification``, or ``none`` for the encoder. ``head_norm``: ``plain`` if
    the classifier's layer norm has no parameters, which no tensor shows. ``exact_epsilon``: scale weights so that one
    epsilon serves all layer norms exactly. ``license``: of the file at ``url``, as the Hub spells it.
    """

    name: str = MISSING
    family: str | None = None
    pooling: str | None = None
    head: str = "classification"
    head_norm: str | None = None
    exact_epsilon: bool = False
    url: str | None = None
    license: str | None = None
    sha256: str | None = None
    hidden_size: int | None = None
    num_hidden_layers: int | None = None
    num_attention_heads: int | None = None
    num_labels: int | None = None
    patch_size: int | None = None
    frequency_stride: int | None = None
    time_stride: int | None = None
    max_length: int | None = None
    num_mel_bins: int | None = None
    sampling_rate: int = 16000
    mean: float | None = None
    std: float | None = None
    layer_norm_eps: float = 1e-6
    problem_type: str | None = None
    labels: HubFile | None = None
    clip_file: HubFile | None = None
    clip_row: HubRow | None = None
    expected_logits: ExpectedLogits | None = None


@dataclass
class Device:
    name: str = MISSING


@dataclass
class Tolerance:
    """A difference passes up to ``atol`` + ``rtol`` times the reference."""

    atol: float = MISSING
    rtol: float = 0.0


@dataclass
class DeviceTolerances:
    """The tolerances of one check by device type, as torch names it."""

    cpu: Tolerance = field(default_factory=Tolerance)
    cuda: Tolerance = field(default_factory=Tolerance)
    mps: Tolerance = field(default_factory=Tolerance)


@dataclass
class Verify:
    """``tolerances``: by the name of the check."""

    expected_logits: str = "auto"
    attention: str = "default"
    tolerances: dict[str, DeviceTolerances] = field(default_factory=dict)


@dataclass
class Tracking:
    enabled: bool = MISSING
    uri: str | None = None
    experiment: str = "ast2hf"
    required: bool = False
    log_model: bool = False


@dataclass
class Download:
    """Seconds without data after which an attempt is abandoned, and for all attempts together."""

    timeout_s: float = MISSING
    deadline_s: float = MISSING


@dataclass
class Hub:
    """Without a token: huggingface_hub finds it, while overrides are written to disk."""

    push: bool = MISSING
    repo_id: str | None = None
    private: bool = True
    revision: str = "main"
    commit_message: str = "Convert with ast2hf"


@dataclass
class Resize:
    """Input sizes of the converted model, if they should differ from the checkpoint's."""

    max_length: int | None = None
    num_mel_bins: int | None = None


@dataclass
class Gates:
    """For the proof over a data set: the least share of clips that agree, the largest difference of the headline.

    ``headline``: None for the default of the dtype.
    """

    agreement: float = MISSING
    headline: float | None = None


@dataclass
class Data:
    """The data set of the proof. ``kind``: its layout; None for no data set."""

    kind: str | None = None
    path: str | None = None
    split: str | None = None
    labels: str | None = None
    ids: str | None = None
    streaming: bool = False
    batch_size: int = 8
    workers: int | None = None
    dtype: str = "float32"
    max_skipped: float = 0.01
    shards: int = 1
    shard: int | None = None
    gates: Gates = field(default_factory=Gates)


@dataclass
class Paths:
    outputs: str = MISSING
    cache: str = MISSING


@dataclass
class Config:
    model: Variant = field(default_factory=Variant)
    device: Device = field(default_factory=Device)
    verify: Verify = field(default_factory=Verify)
    tracking: Tracking = field(default_factory=Tracking)
    hub: Hub = field(default_factory=Hub)
    paths: Paths = field(default_factory=Paths)
    download: Download = field(default_factory=Download)
    resize: Resize = field(default_factory=Resize)
    data: Data = field(default_factory=Data)
    task: str = "convert"
    checkpoint: str | None = None
    checkpoint_key: str | None = None
    checkpoint_prefix: str | None = None
    unused: str | None = None
    folder: str | None = None
    output_dir: str | None = None
    labels: str | None = None
    license: str | None = None
    audio: str | None = None
    overwrite: bool = False
    skip_existing: bool = False
    dry_run: bool = False
    threads: int | None = None
    debug: bool = False
