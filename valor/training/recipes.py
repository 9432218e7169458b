"""The recipes by name, and the face of all that is done with one (`recipe.py`).

Cost is that of one training at LLP size (10,000 clips) on 2 CPU cores, scores are those published for the LLP test
split: segment-level audio, visual, audio-visual, Type@AV, Event@AV, then the same five at event level.
"""

from dataclasses import replace
from pathlib import Path

from valor.data.features.feature_options import FeatureOptions
from valor.label_harvest.did_you_mean import did_you_mean
from valor.parsers.options import PARSERS, ParserOptions

from .methods.methods import METHODS
from .options import FitOptions
from .recipe import (
    Recipe,
    features_from_json,
    override,
    read_recipe,
    recipe_from_json,
    recipe_to_json,
    write_recipe,
)

__all__ = [
    "RECIPES",
    "Recipe",
    "features_from_json",
    "find_recipe",
    "for_classes",
    "override",
    "read_recipe",
    "recipe_from_json",
    "recipe_to_json",
    "write_recipe",
]

_FOUR_LAYERS = FitOptions(learning_rate=3e-4, min_learning_rate=3e-6, seed=64)
_PLUS_PLUS = Recipe(
    name="valor++",
    features=FeatureOptions(audio="clap", visual="clip"),
    parser=PARSERS["valor++"],
    fit=replace(_FOUR_LAYERS, seed=87),
    note="VALOR+ with CLAP and CLIP features, R(2+1)D kept. Published: 68.1 68.4 61.9 66.2 66.8 / "
    "61.2 64.7 55.5 60.4 59.0. 4.9 M weights, 0.8 GB of features in memory, 28 minutes.",
)
_ON_CLIPS = replace(
    _PLUS_PLUS,
    name="valor-clips",
    features=FeatureOptions(audio="audio.map", visual="visual.embedding", motion=None),
    parser=replace(_PLUS_PLUS.parser, motion_width=0),
)
_VALOR = Recipe(
    name="valor",
    note="Published: 61.8 65.9 58.4 62.0 61.5 / 55.4 62.6 52.2 56.7 54.2. 5.1 M weights, "
    "1.1 GB of features in memory, 19 minutes.",
)

_HAN_PARSER = ParserOptions(num_heads=1, feedforward_width=512, update_order="together")
_HAN_DROPPED = replace(_HAN_PARSER, visual_dropout=0.5)
_STEPS = FitOptions(
    min_learning_rate=0.0,
    warmup_epochs=0,
    schedule="step",
    optimiser="adam",
    weight_decay=0.0,
    beta1=0.9,
    max_grad_norm=None,
    select_tie="last",
)
"""Adam with a rate that falls in steps: what HAN, JoMoLD, LEAP and their kin have in common."""

_STEP_FIT = replace(
    _STEPS,
    epochs=50,
    batch_size=128,
    learning_rate=5e-4,
    step_epochs=6,
    step_factor=0.25,
    pseudo_label_weight=0.0,
    select_by="event.audio",
    seed=6,
)
"""How JoMoLD and, with other numbers, CMPAE and NREP are trained."""

_TAGS_FIT = replace(
    _STEPS, learning_rate=0.5, step_epochs=1, pseudo_label_weight=0.0, guided_weight=1.0, visual_smoothing=0.0
)

_UWAV_FIT = FitOptions(epochs=80, learning_rate=1e-4, min_learning_rate=5e-6, weight_decay=1e-4, beta1=0.9, seed=20000)

_ROUNDS = {
    "rounds": METHODS["rounds"].on(),
    "uwav": METHODS["uwav"].Options(class_balance=0.5, mixup_alpha=1.7),
}
"""Ours: two rounds, with UWAV's losses."""

_MM_CSE = Recipe(
    name="mm-cse",
    features=FeatureOptions(audio="clap", visual="clip"),
    parser=replace(PARSERS["valor++"], network="class-wise", feedforward_width=512),
    fit=replace(_PLUS_PLUS.fit, learning_rate=1e-4, min_learning_rate=0.0, warmup_epochs=0, schedule="step", seed=87),
    methods={"mm-cse": METHODS["mm-cse"].on()},
    note="MM-CSE: features of each class in each second. Its training script is not public; rate and schedule are "
    "the defaults of its options. Its published row was not seen.",
)

_DEMO = Recipe(
    name="demo",
    features=FeatureOptions(audio="audio.embedding", visual="visual.embedding", motion=None),
    parser=ParserOptions(
        audio_width=128, visual_width=128, motion_width=0, hidden_width=256, feedforward_width=512, num_layers=1
    ),
    fit=FitOptions(
        epochs=40, batch_size=32, learning_rate=1e-3, min_learning_rate=1e-5, warmup_epochs=3, beta1=0.9, seed=0
    ),
    note="The demo world's parser on the features of its teachers; seconds.",
)

_AVE = Recipe(
    name="ave-valor",
    features=FeatureOptions(audio="audio.map", visual="visual.embedding", motion="r2plus1d.features"),
    parser=replace(_PLUS_PLUS.parser, num_classes=28),
    fit=replace(_PLUS_PLUS.fit, select_by="figures.accuracy", also_on_test=True),
    note="VALOR++ on AVE: harvested labels of each modality; a second is an event that is audible and visible. Ours, "
    "since no code of it is public. Published: accuracy 80.4.",
)
_AVEL = Recipe(
    name="avel-weak",
    features=FeatureOptions(audio="ave-vggish", visual="ave-vgg19", motion=None, background_clips=True),
    parser=ParserOptions(visual_width=49 * 512, motion_width=0, hidden_width=8, feedforward_width=8, num_classes=28),
    fit=FitOptions(
        epochs=250,
        learning_rate=1e-3,
        min_learning_rate=0.0,
        warmup_epochs=0,
        schedule="step",
        step_epochs=283,  # 15,000 steps, of 53 each
        optimiser="adam",
        weight_decay=0.0,
        beta1=0.9,
        max_grad_norm=None,
        pseudo_label_weight=0.0,
        select_by="figures.accuracy_per_second",
        also_on_test=True,
    ),
    methods={"avel": METHODS["avel"].on()},
    note="The network of AVE's own paper on clip tags. Published: accuracy 66.7, from memory.",
)

_UNAV = Recipe(
    name="unav-valor",
    features=FeatureOptions(audio="audio.embedding", visual="visual.embedding", motion=None),
    parser=replace(_PLUS_PLUS.parser, audio_width=512, motion_width=0, num_classes=100),
    fit=replace(_PLUS_PLUS.fit, select_by="figures.mAP mean", batch_segments=4096),
    note="VALOR's way on UnAV-100: clip tags and harvested labels, whole clips of 10 to 60 s, the epoch with the "
    "highest mAP on validation. Ours; no published row is of these features.",
)

_LOCALISER = Recipe(
    name="unav-localiser",
    features=FeatureOptions(audio="unav-vggish", visual="unav-i3d", motion=None),
    parser=ParserOptions(motion_width=0, hidden_width=8, feedforward_width=8, num_classes=100),
    fit=FitOptions(
        epochs=45,
        batch_size=16,
        min_learning_rate=1e-8,
        warmup_epochs=5,
        weight_decay=1e-4,
        beta1=0.9,
        pseudo_label_weight=0.0,
        select_by="figures.mAP mean",
        seed=1234567891,
    ),
    methods={"localiser": METHODS["localiser"].on()},
    note="The network of UnAV-100's paper on its features, every event labelled in seconds: kept by the mAP that the "
    "last weights have on validation, tested with their mean, as published. mAP 0.5 to 0.9, mean of nine: 50.6 45.8 "
    "39.8 32.4 21.1, 47.8, from memory. 139.5 M weights, 13 GB of features in memory; meant for a GPU.",
)

_OVAVE = replace(
    _UNAV,
    name="ovave-valor",
    parser=replace(_UNAV.parser, num_classes=67),
    fit=replace(_UNAV.fit, select_by="figures.total Avg"),
    note="VALOR's way on OV-AVEBench: tags and harvested labels of the seen classes; of unseen ones it learns that "
    "they do not occur. Ours; no published row is of these features.",
)

_LFAV = replace(
    _UNAV,
    name="lfav-valor",
    parser=replace(_UNAV.parser, num_classes=35),
    fit=replace(_UNAV.fit, guided_weight=1.0, select_by="figures.selection"),
    note="VALOR's way on LFAV: tags of each modality and labels harvested by them, whole videos of about 200 s, the "
    "epoch kept as published, by the mean of mAP and event-level F. Ours; no published row is of these features.",
)

RECIPES: dict[str, Recipe] = {
    "demo": _DEMO,
    "demo-tags-only": replace(
        _DEMO,
        name="demo-tags-only",
        fit=replace(_DEMO.fit, pseudo_label_weight=0.0, guided_weight=1.0),
        note="The demo world's parser on clip tags alone, with HAN's guided loss, without which it does far worse.",
    ),
    "valor": _VALOR,
    "valor+": Recipe(
        name="valor+",
        parser=PARSERS["valor+"],
        fit=_FOUR_LAYERS,
        note="VALOR with 4 layers of width 256. 5.1 M weights, 1.1 GB of features in memory, 25 minutes.",
    ),
    "valor++": _PLUS_PLUS,
    "valor++ pre-norm": replace(
        _PLUS_PLUS, name="valor++ pre-norm", parser=PARSERS["valor++ pre-norm"], note="VALOR++, normalising the query."
    ),
    "valor-clips": replace(
        _ON_CLIPS,
        note="VALOR++ without R(2+1)D, on what `valor harvest` caches of raw clips; no published row. 4.6 M weights.",
    ),
    "uavm-clips": replace(
        _ON_CLIPS,
        name="uavm-clips",
        parser=replace(_ON_CLIPS.parser, encoder="uavm", fusion_layer=2),
        fit=replace(_TAGS_FIT, epochs=10, batch_size=144, learning_rate=5e-5, step_factor=0.5, beta1=0.95),
        note="UAVM's encoder on clip tags, by its optimiser, no mix-up, no decay; for 200,000 clips. No published row.",
    ),
    "mbt-clips": replace(
        _ON_CLIPS,
        name="mbt-clips",
        parser=replace(_ON_CLIPS.parser, encoder="mbt", fusion_layer=2),
        fit=replace(_TAGS_FIT, epochs=50, warmup_epochs=2, schedule="cosine", optimiser="sgd", max_grad_norm=1.0),
        note="MBT's encoder on clip tags, by its SGD, without mix-up and stochastic depth. No published row.",
    ),
    "han": Recipe(
        name="han",
        parser=_HAN_PARSER,
        fit=replace(
            _STEPS, epochs=40, batch_size=16, learning_rate=3e-4, pseudo_label_weight=0.0, guided_weight=1.0, seed=1
        ),
        note="HAN as published in 2020, on clip tags alone: 60.1 52.9 48.9 54.0 55.4 / 51.3 48.9 43.0 47.7 48.0. "
        "4.6 M weights, 1.1 GB of features in memory.",
    ),
    "jomold": Recipe(
        name="jomold",
        parser=_HAN_DROPPED,
        fit=_STEP_FIT,
        methods={"jomold": METHODS["jomold"].Options(estimator_epochs=25)},
        note="JoMoLD as published in 2022, on clip tags alone, in two parts of 25 epochs: its noise estimator, "
        "then its training. 61.3 63.8 57.2 60.8 59.9 / 53.9 59.9 49.6 54.5 52.5. 4.6 M weights, 1.1 GB of features.",
    ),
    "cmpae": Recipe(
        name="cmpae",
        features=FeatureOptions(unfolded=True),
        parser=replace(_HAN_DROPPED, network="presence", stem="elu", visual_width=8 * 2048, visual_frames=8),
        fit=replace(_STEP_FIT, epochs=20, select_by="mean", seed=0),
        methods={"cmpae": METHODS["cmpae"].on()},
        note="CMPAE as published in 2023, on clip tags and the noise ratios it ships: 64.2 66.4 59.2 63.3 62.8 / "
        "56.6 63.7 51.8 57.4 55.7, behind visual gates chosen on val (`valor calibrate --preset cmpae`). 7.1 GB of "
        "features.",
    ),
    "coleaf": Recipe(
        name="coleaf",
        features=FeatureOptions(unfolded=True),
        parser=replace(_HAN_DROPPED, network="presence", stem="elu", visual_width=8 * 2048, visual_frames=8),
        fit=replace(_STEP_FIT, epochs=10, select_by="figures.exclusive_mean", seed=1),
        methods={"coleaf": METHODS["coleaf"].on()},
        note="CoLeaF as published in 2024, on clip tags and the noise ratios it ships, with two reference networks: "
        "64.2 64.4 59.3 62.6 62.5 / 57.6 63.2 54.2 57.9 55.6. 7.1 GB of features.",
    ),
    "nrep": Recipe(
        name="nrep",
        features=FeatureOptions(audio="clap", visual="clip", unfolded=True),
        parser=replace(
            _HAN_DROPPED, network="for-against", stem="elu", audio_width=7 * 768, audio_map=True, visual_width=768
        ),
        fit=replace(_STEP_FIT, epochs=20, pseudo_label_weight=1.0, select_by="event.event_av"),
        methods={"nrep": METHODS["nrep"].on()},
        note="NREP as published, two networks of 10 epochs each: 70.2 70.9 64.4 68.5 68.8 / 62.8 67.3 57.6 62.6 61.1. "
        "2.5 GB of features.",
    ),
    "uwav": Recipe(
        name="uwav",
        parser=ParserOptions(num_layers=5, num_heads=16, feedforward_width=2048, stem="perceptron"),
        fit=_UWAV_FIT,
        methods={"uwav": METHODS["uwav"].on()},
        note="UWAV as published in 2025, with soft labels of its generator: 64.2 70.0 63.4 65.9 63.9 "
        "/ 58.6 66.7 57.5 60.9 57.4. 23 M weights.",
    ),
    "uwav++": Recipe(
        name="uwav++",
        features=FeatureOptions(audio="audio.embedding", visual="visual.embedding", motion=None),
        parser=ParserOptions(
            audio_width=512,
            visual_width=768,
            motion_width=0,
            hidden_width=768,
            num_layers=5,
            num_heads=16,
            feedforward_width=2048,
            stem="perceptron",
        ),
        fit=_UWAV_FIT,
        methods={"uwav": METHODS["uwav"].on()},
        note="UWAV on embeddings of CLAP and CLIP; its script is not public: 68.9 72.3 65.6 68.9 68.3 / 63.5 "
        "68.7 59.6 63.9 62.4.",
    ),
    "uwav-generator": Recipe(
        name="uwav-generator",
        features=_UNAV.features,
        parser=ParserOptions(
            audio_width=512, visual_width=768, motion_width=0, hidden_width=8, feedforward_width=8, num_classes=100
        ),
        fit=FitOptions(
            epochs=80,
            learning_rate=1e-4,
            min_learning_rate=1e-5,
            max_grad_norm=2.0,
            select_by="segment.audio_visual",
            batch_segments=4096,
        ),
        methods={"generator": METHODS["generator"].on()},
        note="UWAV's label generator, trained on UnAV-100 with every second labelled; needs vectors of the class names "
        "(methods.generator.vectors). It labels other stores: `valor store judge`. 93 M weights.",
    ),
    "mug": replace(
        _VALOR,
        name="mug",
        methods={"mug": METHODS["mug"].on()},
        note="VALOR with MUG's recombined clips. MUG's own network is not described, so its row is not claimed. "
        "Twice the features in memory.",
    ),
    "rounds": replace(
        _VALOR,
        name="rounds",
        fit=replace(_VALOR.fit, epochs=120),
        methods=_ROUNDS,
        note="Ours, no published row: VALOR twice with UWAV's losses, the second time on labels its parser has had a "
        "say in (docs/methods.md). Twice VALOR's time.",
    ),
    "rounds++": replace(
        _PLUS_PLUS,
        name="rounds++",
        fit=replace(_PLUS_PLUS.fit, epochs=120),
        methods=_ROUNDS,
        note="Ours, no published row: VALOR++ twice, likewise. Twice VALOR++'s time.",
    ),
    "mm-cse": _MM_CSE,
    "rounds-mm-cse": replace(
        _MM_CSE,
        name="rounds-mm-cse",
        fit=replace(_MM_CSE.fit, epochs=120),
        methods={**_MM_CSE.methods, "rounds": METHODS["rounds"].on()},
        note="Ours, no published row: MM-CSE twice, the second time on labels its parser has had a say in "
        "(docs/methods.md). Twice MM-CSE's time.",
    ),
    "leap": Recipe(
        name="leap",
        parser=ParserOptions(
            network="label-queries", hidden_width=512, num_layers=4, feedforward_width=512, dropout=0.2
        ),
        fit=replace(_STEPS, epochs=30, batch_size=32, learning_rate=1e-4, seed=1),
        methods={"leap": METHODS["leap"].on()},
        note="LEAP as published in 2024, behind the encoder of MM-Pyramid, on VALOR's labels; needs label vectors "
        "(methods.leap.vectors), there of GloVe. Type and Event 64.8 63.6 / 60.2 57.4.",
    ),
    "han-weak": replace(
        _VALOR,
        name="han-weak",
        fit=replace(_VALOR.fit, pseudo_label_weight=0.0, guided_weight=1.0),
        note="VALOR's network and training on clip tags alone, with HAN's guided loss: the baseline of pseudo labels.",
    ),
    "ppl": replace(
        _VALOR,
        name="ppl",
        fit=replace(_VALOR.fit, pseudo_label_weight=0.0, guided_weight=1.0),
        methods={"ppl": METHODS["ppl"].on()},
        note="PPL as far as it is described, on VALOR's network and clip tags alone; its formulas were not to be had, "
        "so its row is not claimed.",
    ),
    "han-weak++": replace(
        _PLUS_PLUS,
        name="han-weak++",
        fit=replace(_PLUS_PLUS.fit, pseudo_label_weight=0.0, guided_weight=1.0),
        note="VALOR++ on clip tags alone, with HAN's guided loss.",
    ),
    "ave-weak": replace(
        _AVE,
        name="ave-weak",
        fit=replace(_AVE.fit, pseudo_label_weight=0.0, guided_weight=1.0),
        note="AVE on clip tags alone, with HAN's guided loss: the baseline of pseudo labels. Published: accuracy 75.3.",
    ),
    "ave-valor": _AVE,
    "ave-uwav": replace(
        _AVE,
        name="ave-uwav",
        features=replace(_AVE.features, audio="audio.embedding"),
        parser=replace(
            _AVE.parser,
            audio_width=512,
            hidden_width=512,
            num_layers=5,
            num_heads=16,
            feedforward_width=2048,
            stem="perceptron",
        ),
        fit=replace(
            _AVE.fit,
            epochs=80,
            batch_size=16,
            learning_rate=1e-4,
            min_learning_rate=5e-6,
            weight_decay=1e-4,
            beta1=0.9,
            seed=20000,
        ),
        methods={"uwav": replace(METHODS["uwav"].on(), mixup_rounded_up=True)},
        note="UWAV's network and losses on AVE, on soft labels of the teachers (`valor labels --soft`), not of UWAV's "
        "generator. Published: accuracy 80.6.",
    ),
    "ave-full": replace(
        _AVE,
        name="ave-full",
        methods={"supervised": METHODS["supervised"].on()},
        note="AVE with every second labelled, background as the absence of all classes; no published row is of these "
        "features.",
    ),
    "unav-weak": replace(
        _UNAV,
        name="unav-weak",
        fit=replace(_UNAV.fit, pseudo_label_weight=0.0, guided_weight=1.0),
        note="UnAV-100 on clip tags alone, with HAN's guided loss: the baseline of pseudo labels. Ours.",
    ),
    "unav-valor": _UNAV,
    "unav-windows": replace(
        _UNAV,
        name="unav-windows",
        methods={"windows": METHODS["windows"].on()},
        note="The same, trained on windows of ten segments with the tags that are labelled in them. Ours.",
    ),
    "unav-full": replace(
        _UNAV,
        name="unav-full",
        methods={"supervised": METHODS["supervised"].on()},
        note="UnAV-100 with every segment labelled: the upper bound of pseudo labels. Ours.",
    ),
    "unav-localiser": _LOCALISER,
    "unav-localiser-clips": replace(
        _LOCALISER,
        name="unav-localiser-clips",
        features=_UNAV.features,
        parser=replace(_LOCALISER.parser, audio_width=512, visual_width=768),
        methods={"localiser": METHODS["localiser"].Options(window=1, table_length=256, judged="mean")},
        note="The same network on harvested features, best on segments of 0.25 s, kept by the mAP of the mean weights "
        "that are tested. Ours; no published row is of these features.",
    ),
    "lfav-weak": replace(
        _LFAV,
        name="lfav-weak",
        fit=replace(_LFAV.fit, pseudo_label_weight=0.0),
        note="LFAV on the tags of each modality alone, by HAN's guided loss: the baseline of pseudo labels. Ours.",
    ),
    "lfav-valor": _LFAV,
    "ovave-weak": replace(
        _OVAVE,
        name="ovave-weak",
        fit=replace(_OVAVE.fit, pseudo_label_weight=0.0, guided_weight=1.0),
        note="OV-AVEBench on clip tags alone, with HAN's guided loss. Ours.",
    ),
    "ovave-valor": _OVAVE,
    "avel-weak": _AVEL,
    "avel-full": replace(
        _AVEL,
        name="avel-full",
        features=replace(_AVEL.features, background_clips=False),
        fit=replace(_AVEL.fit, epochs=300, pseudo_label_weight=1.0),
        methods={"supervised": METHODS["supervised"].on(), "avel": METHODS["avel"].on()},
        note="The network of AVE's own paper with every second labelled. Published: accuracy 72.7.",
    ),
}
"""The recipes `valor train` knows by name.

Facts of `han` are those of the repository YapengTian/AVVP-ECCV20. `main_avvp.py`: Adam at 3e-4 without decay, a tenth
every 10 of 40 epochs, batches of 16, no clipping of gradients, seed 1, guided losses with audio tags as they are and
visual ones at 0.9 y + 0.05, the kept epoch the last with the highest validation segment Type@AV, both thresholds 0.5.
`nets/net_audiovisual.py`: one post-norm layer of one head, width 512, feed-forward width 512, dropout 0.1, both streams
from the state at its start. Its initial weights and batch order of seed 1 are not reproduced: that network also draws
weights for three encoders it never runs.
"""


def find_recipe(name: str) -> Recipe:
    """Look up a recipe by name, or read it from a recipe.json or a run folder.

    Args:
        name: A key of RECIPES, a path to a JSON file, or a folder that holds recipe.json.

    Raises:
        ValueError: Neither is there; lists the names.
    """
    if name in RECIPES:
        return RECIPES[name]
    path = Path(name) / "recipe.json" if Path(name).is_dir() else Path(name)
    if path.is_file():
        return read_recipe(path)
    near = did_you_mean(name, tuple(RECIPES))
    raise ValueError(f"unknown recipe {name!r}{near}; known are {', '.join(RECIPES)}, or a recipe.json or a run folder")


def for_classes(recipe: Recipe, name: str, count: int) -> Recipe:
    """A recipe that was found by its name, for so many classes; one that was read says itself for how many it is."""
    return replace(recipe, parser=replace(recipe.parser, num_classes=count)) if name in RECIPES else recipe
