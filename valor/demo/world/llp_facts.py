"""Facts measured on LLP's tables: what a miniature of it has to look like, as plain numbers.

Source: the annotation tables of Look, Listen, and Parse (Tian et al., ECCV 2020): the 1849 clips of `AVVP_val_pd.csv`
and `AVVP_test_pd.csv` with the rows of `AVVP_eval_audio.csv` (as corrected in 2024) and `AVVP_eval_visual.csv`,
counted by `valor.demo.world.schedule.statistics`; a test counts them again where the tables are at hand.
"""

from typing import NamedTuple


class EventHabits(NamedTuple):
    """How the events of one class lie in its clips; shares in [0, 1]."""

    only_audible: float
    """Of the clips with an event of the class, those where it is only heard."""
    only_visible: float
    """Those where it is only seen; the rest have both."""
    same_whole: float
    """Of the clips with both: heard and seen during the whole clip."""
    same_part: float
    """Heard and seen during the same part of the clip."""
    whole_visible: float
    """Seen during the whole clip and heard during a part."""
    whole_audible: float
    """Heard during the whole clip and seen during a part; the rest differ otherwise."""
    whole_if_only_audible: float
    """Of the clips where it is only heard, those where it lasts the whole clip."""
    whole_if_only_visible: float
    """Of the clips where it is only seen, those where it lasts the whole clip."""


EVENT_HABITS: dict[str, EventHabits] = {
    "Accordion": EventHabits(0.25, 0.01, 0.72, 0.02, 0.13, 0.08, 0.76, 0.00),
    "Acoustic_guitar": EventHabits(0.08, 0.11, 0.49, 0.02, 0.37, 0.08, 1.00, 0.76),
    "Baby_cry_infant_cry": EventHabits(0.17, 0.01, 0.34, 0.27, 0.21, 0.06, 0.31, 1.00),
    "Baby_laughter": EventHabits(0.22, 0.00, 0.16, 0.60, 0.12, 0.00, 0.29, 0.00),
    "Banjo": EventHabits(0.18, 0.05, 0.68, 0.00, 0.21, 0.09, 0.62, 0.50),
    "Basketball_bounce": EventHabits(0.05, 0.19, 0.03, 0.61, 0.02, 0.03, 0.00, 0.00),
    "Blender": EventHabits(0.00, 0.02, 0.31, 0.00, 0.55, 0.00, 0.00, 1.00),
    "Car": EventHabits(0.01, 0.21, 0.77, 0.04, 0.06, 0.07, 1.00, 0.52),
    "Cat": EventHabits(0.05, 0.31, 0.10, 0.00, 0.68, 0.00, 0.00, 0.84),
    "Cello": EventHabits(0.19, 0.06, 0.67, 0.01, 0.16, 0.13, 0.83, 0.43),
    "Chainsaw": EventHabits(0.02, 0.00, 0.50, 0.07, 0.16, 0.18, 1.00, 0.00),
    "Cheering": EventHabits(0.59, 0.04, 0.47, 0.22, 0.04, 0.06, 0.26, 0.80),
    "Chicken_rooster": EventHabits(0.07, 0.05, 0.38, 0.01, 0.49, 0.03, 0.29, 0.80),
    "Clapping": EventHabits(0.43, 0.04, 0.30, 0.37, 0.03, 0.07, 0.12, 0.17),
    "Dog": EventHabits(0.08, 0.13, 0.23, 0.00, 0.62, 0.01, 0.08, 0.86),
    "Fire_alarm": EventHabits(0.17, 0.00, 0.17, 0.00, 0.27, 0.23, 0.67, 0.00),
    "Frying_(food)": EventHabits(0.06, 0.02, 0.80, 0.03, 0.02, 0.10, 1.00, 1.00),
    "Helicopter": EventHabits(0.09, 0.02, 0.74, 0.05, 0.02, 0.11, 0.78, 0.50),
    "Lawn_mower": EventHabits(0.07, 0.02, 0.46, 0.02, 0.34, 0.15, 0.67, 1.00),
    "Motorcycle": EventHabits(0.05, 0.11, 0.55, 0.03, 0.20, 0.17, 0.75, 0.44),
    "Singing": EventHabits(0.31, 0.00, 0.31, 0.55, 0.00, 0.10, 0.36, 0.00),
    "Speech": EventHabits(0.77, 0.00, 0.12, 0.57, 0.00, 0.07, 0.13, 0.00),
    "Telephone_bell_ringing": EventHabits(0.42, 0.00, 0.18, 0.09, 0.18, 0.09, 0.25, 0.00),
    "Vacuum_cleaner": EventHabits(0.06, 0.01, 0.64, 0.03, 0.16, 0.12, 0.67, 0.00),
    "Violin_fiddle": EventHabits(0.17, 0.03, 0.51, 0.02, 0.30, 0.10, 0.80, 0.57),
}
"""Each class's habits."""

TAG_SETS: dict[str, int] = {
    "Dog Speech": 134,
    "Helicopter": 72,
    "Speech Violin_fiddle": 72,
    "Cello Violin_fiddle": 71,
    "Vacuum_cleaner": 58,
    "Car Speech": 57,
    "Singing": 57,
    "Chicken_rooster": 53,
    "Frying_(food) Speech": 50,
    "Accordion": 50,
    "Car": 44,
    "Singing Speech": 44,
    "Cat Speech": 42,
    "Motorcycle Speech": 41,
    "Basketball_bounce Speech": 40,
    "Baby_cry_infant_cry": 38,
    "Baby_cry_infant_cry Speech": 37,
    "Chicken_rooster Speech": 37,
    "Acoustic_guitar Speech": 37,
    "Chainsaw": 33,
    "Acoustic_guitar Singing": 32,
    "Speech Vacuum_cleaner": 32,
    "Blender Speech": 30,
    "Violin_fiddle": 29,
    "Blender": 26,
    "Lawn_mower": 23,
    "Fire_alarm Speech": 22,
    "Cheering Speech": 21,
    "Lawn_mower Speech": 21,
    "Motorcycle": 21,
    "Helicopter Speech": 21,
    "Clapping Speech": 20,
    "Cheering Clapping Speech": 19,
    "Baby_laughter Speech": 15,
    "Cheering": 14,
    "Frying_(food)": 14,
    "Speech Telephone_bell_ringing": 13,
    "Cheering Singing": 13,
    "Fire_alarm": 13,
    "Acoustic_guitar Singing Speech": 13,
    "Accordion Speech": 11,
    "Basketball_bounce Cheering Clapping Speech": 11,
    "Cello": 11,
    "Basketball_bounce Cheering Speech": 11,
    "Car Motorcycle Speech": 10,
    "Acoustic_guitar Violin_fiddle": 10,
    "Clapping Singing": 10,
    "Baby_laughter": 10,
    "Dog": 10,
    "Chainsaw Speech": 9,
    "Acoustic_guitar Banjo Singing": 9,
    "Clapping Singing Speech": 9,
    "Banjo Speech": 9,
    "Speech": 9,
    "Cheering Clapping": 7,
    "Basketball_bounce": 7,
    "Acoustic_guitar Cello Violin_fiddle": 6,
    "Telephone_bell_ringing": 6,
    "Clapping": 6,
    "Basketball_bounce Clapping Speech": 6,
    "Cheering Clapping Singing": 6,
    "Cheering Singing Speech": 6,
    "Accordion Singing": 5,
    "Singing Speech Violin_fiddle": 5,
    "Cello Speech": 5,
    "Acoustic_guitar": 5,
    "Cat": 5,
    "Car Helicopter": 4,
    "Acoustic_guitar Clapping Singing": 4,
    "Banjo Singing": 4,
    "Car Singing Speech": 4,
    "Banjo Violin_fiddle": 3,
    "Motorcycle Singing Speech": 3,
    "Cello Singing": 3,
    "Dog Speech Vacuum_cleaner": 3,
    "Dog Vacuum_cleaner": 3,
    "Acoustic_guitar Cello": 3,
    "Acoustic_guitar Banjo Singing Violin_fiddle": 3,
    "Acoustic_guitar Clapping Speech": 3,
    "Car Motorcycle": 3,
    "Acoustic_guitar Banjo Cello Singing": 3,
    "Cheering Clapping Singing Speech": 3,
    "Accordion Acoustic_guitar Singing": 2,
    "Cello Singing Violin_fiddle": 2,
    "Cat Vacuum_cleaner": 2,
    "Singing Violin_fiddle": 2,
    "Accordion Violin_fiddle": 2,
    "Cello Speech Violin_fiddle": 2,
    "Acoustic_guitar Clapping Speech Violin_fiddle": 2,
    "Baby_laughter Dog Speech": 2,
    "Cheering Speech Violin_fiddle": 2,
    "Acoustic_guitar Speech Violin_fiddle": 2,
    "Car Helicopter Speech": 2,
    "Dog Violin_fiddle": 2,
    "Basketball_bounce Dog Speech": 2,
    "Cello Clapping Violin_fiddle": 2,
    "Acoustic_guitar Cello Speech": 2,
    "Cat Chicken_rooster Speech": 2,
    "Basketball_bounce Cheering Clapping": 2,
    "Acoustic_guitar Singing Violin_fiddle": 2,
    "Basketball_bounce Cheering": 2,
    "Banjo": 2,
    "Car Cheering Clapping Speech": 2,
    "Acoustic_guitar Cheering Singing Speech": 2,
}
"""How many of the 1849 clips carry exactly these tags (names apart by spaces); sets of a single clip are left out."""

RARE_TAG_SETS = 81 / 1849
"""Share of the clips whose tags are those of no other clip; most of them have three or four."""

PART_RUNS: tuple[tuple[float, ...], tuple[float, ...]] = ((0.635, 0.291, 0.074), (0.712, 0.244, 0.044))
"""Of (clip, class) pairs that do not fill the clip: shares with one, two and three events; audible, visible."""

LONE_LENGTHS: tuple[tuple[float, ...], tuple[float, ...]] = (
    (0.154, 0.155, 0.123, 0.125, 0.083, 0.085, 0.094, 0.083, 0.098),
    (0.108, 0.137, 0.140, 0.130, 0.081, 0.125, 0.098, 0.105, 0.076),
)
"""Shares of 1 to 9 seconds among events that are the only one of their class in the clip; audible, visible."""

JOINED_LENGTHS: tuple[tuple[float, ...], tuple[float, ...]] = (
    (0.338, 0.234, 0.172, 0.110, 0.064, 0.035, 0.030, 0.017),
    (0.304, 0.228, 0.166, 0.126, 0.075, 0.052, 0.031, 0.018),
)
"""Shares of 1 to 8 seconds among events with others of their class in the clip; audible, visible."""

TOUCHES_EDGE = 0.37
"""Share of lone partial events that begin with the clip; as many end with it."""

TAG_WITHOUT_EVENT = 38 / 3348
"""Share of tags for which no event is annotated."""

EVENT_WITHOUT_TAG = 65 / 3375
"""Share of annotated (clip, class) pairs that the tags do not mention."""

CLASS_SHARES: dict[str, float] = {
    "Speech": 0.5354,
    "Car": 0.0725,
    "Cheering": 0.0714,
    "Dog": 0.0914,
    "Cat": 0.0308,
    "Frying_(food)": 0.0352,
    "Basketball_bounce": 0.0438,
    "Fire_alarm": 0.0195,
    "Chainsaw": 0.0243,
    "Cello": 0.0660,
    "Banjo": 0.0243,
    "Singing": 0.1433,
    "Chicken_rooster": 0.0530,
    "Violin_fiddle": 0.1255,
    "Vacuum_cleaner": 0.0535,
    "Baby_laughter": 0.0173,
    "Accordion": 0.0438,
    "Lawn_mower": 0.0238,
    "Motorcycle": 0.0443,
    "Helicopter": 0.0557,
    "Acoustic_guitar": 0.0838,
    "Telephone_bell_ringing": 0.0103,
    "Baby_cry_infant_cry": 0.0416,
    "Blender": 0.0303,
    "Clapping": 0.0698,
}
"""Share of the 1849 clips tagged with each class."""

LLP_STATISTICS: dict[str, float] = {
    "pairs only audible": 0.3487,
    "pairs only visible": 0.0456,
    "pairs both": 0.6056,
    "overlap of both": 0.8266,
    "both at exactly the same time": 0.6042,
    "audible classes per clip": 1.7420,
    "visible classes per clip": 1.1888,
    "tags per clip": 1.8107,
    "audible events whole": 0.3234,
    "audible events short": 0.4110,
    "visible events whole": 0.5502,
    "visible events short": 0.2390,
    "audible events per audible pair": 1.2661,
    "visible events per visible pair": 1.1288,
    "tags without event": 0.0114,
    "pairs without tag": 0.0193,
}
"""What `valor.demo.world.schedule.statistics` finds in LLP."""
