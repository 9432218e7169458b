"""The captions the demo teachers learn their words from: templates and many names for each class, seen and heard."""

import numpy as np

from valor.data.vocabulary import EventClass

NAMES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Speech": (
        (
            "people talking",
            "a person speaking",
            "a man giving a talk",
            "a woman who speaks to the camera",
            "a conversation",
        ),
        (
            "speech",
            "people talking",
            "a man speaking",
            "a woman speaking",
            "a spoken voice",
            "conversation",
            "narration",
        ),
    ),
    "Car": (
        ("a car", "an automobile", "a vehicle on the road", "a driving car", "cars in traffic", "a sedan"),
        ("car", "a car passing by", "a car engine", "traffic", "an automobile driving", "a car horn"),
    ),
    "Cheering": (
        ("people cheering", "a cheering crowd", "fans with raised arms", "an excited audience", "spectators who cheer"),
        ("cheering", "a cheering crowd", "people shouting for joy", "an excited audience", "fans yelling"),
    ),
    "Dog": (
        ("a dog", "a puppy", "a barking dog", "a hound", "dogs playing", "a pet dog"),
        ("dog", "a dog barking", "barks", "a puppy yapping", "a hound that barks", "dogs bark"),
    ),
    "Cat": (
        ("a cat", "a kitten", "a meowing cat", "a house cat", "cats", "a pet cat"),
        ("cat", "a cat meowing", "meows", "a kitten mewing", "cats meow"),
    ),
    "Frying_(food)": (
        ("frying food", "food in a frying pan", "cooking in a skillet", "a pan on a stove", "sizzling food"),
        ("frying (food)", "frying food", "sizzling oil", "food sizzling in a pan", "crackling fat", "cooking"),
    ),
    "Basketball_bounce": (
        ("people playing basketball", "a basketball", "a bouncing ball", "a basketball game", "dribbling a basketball"),
        (
            "basketball bounce",
            "a bouncing basketball",
            "a ball dribbled on the floor",
            "dribbling",
            "a basketball game",
        ),
    ),
    "Fire_alarm": (
        ("a fire alarm", "a smoke detector", "a flashing alarm", "an alarm on the wall", "a fire alarm device"),
        ("fire alarm", "a beeping alarm", "a smoke detector beeping", "an alarm", "loud warning beeps"),
    ),
    "Chainsaw": (
        ("a chainsaw", "a chain saw cutting wood", "a saw with a chain", "a lumberjack's chainsaw", "sawing a log"),
        ("chainsaw", "a chain saw", "a chainsaw cutting wood", "a revving saw", "sawing a tree"),
    ),
    "Cello": (
        ("a cello", "a cellist", "a person playing the cello", "a violoncello", "a large string instrument"),
        ("cello", "a cello playing", "a cellist", "a violoncello", "low bowed strings"),
    ),
    "Banjo": (
        ("a banjo", "a banjo player", "a person picking a banjo", "a five-string banjo"),
        ("banjo", "a banjo playing", "banjo picking", "bluegrass banjo", "a banjo roll"),
    ),
    "Singing": (
        ("people singing", "a singer", "a singer with a microphone", "a person who sings", "a choir", "a vocalist"),
        ("singing", "a singer", "a person singing a song", "a choir", "a sung melody", "vocals"),
    ),
    "Chicken_rooster": (
        ("a chicken or a rooster", "a rooster", "a chicken", "a hen", "a cockerel", "poultry"),
        ("chicken, rooster", "a rooster crowing", "a crowing cockerel", "a chicken", "cock-a-doodle-doo", "a hen"),
    ),
    "Violin_fiddle": (
        ("a violin", "a fiddle", "a violinist", "a person playing the violin", "a fiddler"),
        ("violin fiddle", "a violin playing", "a fiddle", "a violinist", "high bowed strings", "a fiddler"),
    ),
    "Vacuum_cleaner": (
        ("a vaccum cleaner", "a vacuum cleaner", "a hoover", "vacuuming the carpet", "a vacuum on the floor"),
        ("vacuum cleaner", "vacuuming", "a hoover", "a vacuum running", "the suction of a vacuum"),
    ),
    "Baby_laughter": (
        ("a laughing baby", "a happy baby", "a giggling infant", "a smiling baby", "a baby that laughs"),
        ("baby laughter", "a baby laughing", "a giggling infant", "baby giggles", "a laughing toddler"),
    ),
    "Accordion": (
        ("an accordion", "an accordion player", "a person squeezing an accordion", "a squeezebox"),
        ("accordion", "an accordion playing", "a squeezebox", "accordion music", "reeds and bellows"),
    ),
    "Lawn_mower": (
        ("a lawnmower", "a lawn mower", "mowing the grass", "a mower on a lawn", "cutting grass"),
        ("lawn mower", "a lawnmower", "mowing the lawn", "a grass mower engine", "a mower"),
    ),
    "Motorcycle": (
        ("a motorcycle", "a motorbike", "a biker", "a person riding a motorcycle", "a motor bike on the road"),
        ("motorcycle", "a motorbike", "a motorcycle revving", "a motorcycle engine", "a biker driving by"),
    ),
    "Helicopter": (
        ("a helicopter", "a chopper in the sky", "a flying helicopter", "an aircraft with a rotor"),
        ("helicopter", "a helicopter flying", "rotor blades", "a chopper overhead", "a helicopter rotor"),
    ),
    "Acoustic_guitar": (
        ("a acoustic guiter", "an acoustic guitar", "a guitar", "a guitarist", "a person strumming a guitar"),
        ("acoustic guitar", "a guitar strummed", "a guitar playing", "a guitarist", "fingerpicked guitar"),
    ),
    "Telephone_bell_ringing": (
        ("a ringing telephone", "a telephone", "an old phone", "a phone that rings", "a telephone on a desk"),
        ("telephone bell ringing", "a telephone ringing", "a ringing phone", "a phone bell", "the ring of a telephone"),
    ),
    "Baby_cry_infant_cry": (
        ("a crying baby", "a sad baby in tears", "a crying infant", "a baby that cries", "a weeping baby"),
        ("baby cry, infant cry", "a baby crying", "a crying infant", "a wailing baby", "a newborn's cries"),
    ),
    "Blender": (
        ("a blender", "a kitchen blender", "a mixer jug", "blending a smoothie", "a food blender"),
        ("blender", "a blender running", "a kitchen mixer", "blending a smoothie", "a food processor"),
    ),
    "Clapping": (
        ("hands clapping", "people clapping", "clapping hands", "applause", "a person who claps"),
        ("clapping", "clapping hands", "applause", "people clapping", "hand claps", "an applauding audience"),
    ),
}
"""Names of each class as seen and as heard. Many more are understood: the text tower reads letter groups."""

TEMPLATES: dict[str, tuple[str, ...]] = {
    "visual": (
        "A photo of {}.",
        "{}",
        "a picture of {}",
        "an image that shows {}",
        "a frame of a video with {}",
        "{} is visible",
    ),
    "audio": ("This is a sound of {}", "{}", "the sound of {}", "a recording of {}", "{} can be heard", "I hear {}"),
    "fused": ("A video of {}.", "{} can be seen or heard", "a clip with {}"),
}
"""Sentences around a name, by the stream they speak of; the fused teacher reads all of them."""


FILLERS = tuple(
    "the a an this that some my his her our their one two with without and or of in on at by from near under over "
    "while before after here there outside inside home street day night morning old new small big red blue loud quiet "
    "far close very really nice good bad man woman person people someone somebody he she they we you it is was are "
    "makes making looks looking comes goes sits stands plays next to for as again always still video clip scene view "
    "background room house garden city country kitchen hall school summer winter first last best world time "
    "way thing".split()
)
"""Words that say nothing of a class; strewn among captions, they teach the text tower to read past them."""


def draw_captions(classes: tuple[EventClass, ...], role: str, rng: np.random.Generator) -> list[str]:
    """Draw one caption for each class: one time in four the published prompt, else a template around a name.

    Args:
        classes: Classes of LLP.
        role: visual, audio or fused; a fused caption is a visual, an audio or a neutral one.
        rng: Draws streams, templates and names.

    Returns:
        One caption per class, in their order.
    """
    return [draw_caption(event_class, role, rng) for event_class in classes]


def draw_caption(event_class: EventClass, role: str, rng: np.random.Generator) -> str:
    """Draw a caption of one class; see `draw_captions`."""
    stream = role if role != "fused" else str(rng.choice(["visual", "audio", "fused"]))
    seen, heard = NAMES[event_class.name]
    if stream != "fused" and rng.random() < 0.25:
        prompt = event_class.visual_prompt if stream == "visual" else event_class.audio_prompt
        assert isinstance(prompt, str)  # the classes of LLP have one prompt each
        return prompt
    names = {"visual": seen, "audio": heard, "fused": seen + heard}[stream]
    caption = str(rng.choice(TEMPLATES[stream])).format(rng.choice(names))
    return caption if rng.random() < 0.5 else strew(caption, rng)


def strew(caption: str, rng: np.random.Generator) -> str:
    """Put up to four filler words before and behind a caption."""
    before, behind = (rng.choice(FILLERS, rng.integers(0, 5)) for _ in range(2))
    return " ".join([*before, caption, *behind])
