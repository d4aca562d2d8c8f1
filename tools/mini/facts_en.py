"""The ways that people ask for simple facts in English, and the answers."""

from __future__ import annotations

from mini import tables_en as tables
from mini.facts_words import WORDS
from mini.grammar import Kind, both_ways, counting, follow, having, larger, order, shifted

AFTER = (
    "(What|Which) {t} (comes|is|goes) (right |)after {{x}}?",
    "(What|Which) is the {t} (that comes |)after {{x}}?",
    "(What|Which) {t} follows {{x}}?",
    "What comes (right |next |)after {{x}}?",
    "What's (the|the next) {t} after {{x}}?",
    "Tell me the {t} after {{x}}.",
    "After {{x}} comes (what|which {t})?",
    "(Say|Name) the {t} that (comes after|follows) {{x}}.",
)
BEFORE = (
    "(What|Which) {t} (comes|is|goes) (right |)before {{x}}?",
    "(What|Which) is the {t} (that comes |)before {{x}}?",
    "What comes (right |just |)before {{x}}?",
    "What's the {t} before {{x}}?",
    "Tell me the {t} before {{x}}.",
    "Before {{x}} comes (what|which {t})?",
    "(Say|Name) the {t} that comes before {{x}}.",
    "(What|Which) {t} do we have before {{x}}?",
)
COUNT = (
    "Count from {x} (to|up to) {y}.",
    "(Can|Could|Will) you count from {x} to {y}?",
    "Count {x} to {y}.",
    "(Tell me|Say|Write|Give me|List|Name) the numbers from {x} to {y}.",
    "How do you count from {x} to {y}?",
    "What are the numbers (from {x} to {y}|between {x} and {y}, both included)?",
)


def about(templates: tuple[str, ...], thing: str) -> tuple[str, ...]:
    """The templates for a kind of thing."""
    return tuple(template.format(t=thing) for template in templates)


def neighbours(weight: int, thing: str, names: list[str], *, around: bool) -> tuple[Kind, ...]:
    """What comes after and before."""
    found = follow(names, around=around)
    back = tuple({"x": row["y"], "y": row["x"]} for row in found)
    return (
        Kind(weight, about(AFTER, thing), "{Y} comes after {x}.", found),
        Kind(weight, about(BEFORE, thing), "{Y} comes before {x}.", back),
    )


DIGITS = [str(number) for number in range(101)]
LEGLESS = tuple(row for row in tables.ANIMALS if row["n"] == "0")
LEGS = (
    "How many legs (does {x} have|has {x} got)?",
    "How many legs does {x} (walk on|stand on|use)?",
    "What('s| is) the number of legs of {x}?",
    "Tell me how many legs {x} has.",
    "Do you know how many legs {x} has?",
    "{X} has how many legs?",
    "(How many|Number of) legs of {x}?",
    "How many feet does {x} have?",
)

KINDS: tuple[Kind, ...] = (
    Kind(
        8,
        (
            "(What|Which) (color|colour) {be} {x}?",
            "What('s| is) the (color|colour) of {x}?",
            "Tell me the (color|colour) of {x}.",
            "Of (what|which) (color|colour) {be} {x}?",
            "Do you know (what|which) (color|colour) {x} {be}?",
            "{X} {be} (what|which) (color|colour)?",
            "I (want|would like|need) to know the (color|colour) of {x}.",
            "(Can|Could) you (tell me|name|say) the (color|colour) of {x}?",
            "What (color|colour) would you paint {x}?",
            "The (color|colour) of {x}?",
        ),
        "{X} {be} {c}.",
        tables.COLOURS,
    ),
    Kind(2, ("{BE} {x} {c}?",), "Yes, {x} {be} {c}.", tables.COLOURS),
    Kind(2, ("{BE} {x} {w}?",), "No, {x} {be} {c}.", tables.wrong_colours()),
    Kind(
        10,
        (
            "(What|Which) (is|'s) the opposite of '{x}'?",
            "What is the opposite of {x}?",
            "What's the opposite of {x}?",
            "(Tell me|Give me|Say|Name) the opposite of {x}.",
            "(What|Which) word (is|means) the opposite of {x}?",
            "Opposite of {x}?",
            "(Do|Would) you know the opposite of {x}?",
            "(Can|Could) you (tell me|give me|say) the opposite of {x}?",
            "{X} is the opposite of (what|which word)?",
            "What is the contrary of {x}?",
            "(What|Which) is the antonym of {x}?",
            "If it is not {x}, what is the opposite?",
        ),
        "The opposite of {x} is {y}.",
        both_ways(tables.OPPOSITES),
    ),
    *neighbours(3, "day", tables.DAYS, around=True),
    *neighbours(3, "month", tables.MONTHS, around=True),
    *neighbours(1, "season", tables.SEASONS, around=True),
    *neighbours(3, "number", DIGITS, around=False),
    *neighbours(1, "number", tables.NUMBERS, around=False),
    Kind(
        3,
        (*about(AFTER, "letter"), "What letter comes after {x} in the alphabet?"),
        "The letter {y} comes after {x}.",
        follow(tables.LETTERS),
    ),
    Kind(
        2,
        (*about(BEFORE, "letter"), "What letter comes before {x} in the alphabet?"),
        "The letter {y} comes before {x}.",
        tuple({"x": row["y"], "y": row["x"]} for row in follow(tables.LETTERS)),
    ),
    *(
        Kind(
            2,
            (
                f"(What|Which) is the {{o}} {thing} of the {whole}?",
                f"(What|Which) {thing} is (the |){{o}} (in|of) the {whole}?",
                f"(Tell me|Name|Say) the {{o}} {thing} of the {whole}.",
                f"What's the {{o}} {thing} (of|in) the {whole}?",
                f"(Do you know|Can you tell me) the {{o}} {thing} of the {whole}?",
                f"The {{o}} {thing} of the {whole}?",
            ),
            f"The {{o}} {thing} of the {whole} is {{x}}.",
            order(names, tables.ORDINALS),
        )
        for thing, whole, names in (
            ("day", "week", tables.DAYS),
            ("month", "year", tables.MONTHS),
            ("letter", "alphabet", tables.LETTERS),
        )
    ),
    Kind(
        3,
        (
            "How many days (does {x} have|are there in {x}|are in {x}|has {x} got)?",
            "How long is {x}(| in days)?",
            "Tell me how many days {x} has.",
            "{X} has how many days?",
            "What is the number of days in {x}?",
            "Do you know how many days {x} has?",
            "(How many|Number of) days in {x}?",
            "How many days does the month of {x} have?",
        ),
        "{X} has {n} days.",
        tables.lengths(),
    ),
    Kind(
        4,
        (
            "(What|Which) (sound|noise) does {x} make?",
            "What does {x} (say|do to make noise)?",
            "How does {x} sound?",
            "Tell me (what|the) sound {x} makes.",
            "What is the (sound|noise) of {x}?",
            "What('s| is) the (sound|noise) that {x} makes?",
            "Do you know (what|which) (sound|noise) {x} makes?",
            "(Name|Say) the sound of {x}.",
        ),
        "{X} {s}.",
        having(tables.ANIMALS, "s"),
    ),
    Kind(4, LEGS, "{X} has {n} legs.", having(tables.ANIMALS, "n")),
    Kind(1, LEGS, "{X} has no legs.", LEGLESS),
    Kind(
        4,
        (
            "What does {x} eat?",
            "What do you feed {x}?",
            "What (food|kind of food|sort of food) does {x} (eat|like)?",
            "What('s| is) the food of {x}?",
            "Tell me what {x} eats.",
            "Do you know what {x} eats?",
            "What does {x} feed on?",
            "{X} eats what?",
        ),
        "{X} eats {e}.",
        tables.ANIMALS,
    ),
    Kind(
        4,
        (
            "Where does {x} live?",
            "Where (can|could|do) (I|you|we|people) find {x}?",
            "Where is the home of {x}?",
            "In (what|which) place does {x} live?",
            "Tell me where {x} lives.",
            "Do you know where {x} lives?",
            "{X} lives where?",
            "What('s| is) the (home|habitat) of {x}?",
        ),
        "{X} {h}.",
        tables.ANIMALS,
    ),
    Kind(
        3,
        (
            "What (kind|type|sort|class) of animal is {x}?",
            "What is {x}, a mammal, a bird, a fish or an insect?",
            "Which (group|class) of animals does {x} belong to?",
            "Is {x} a mammal, a bird or a fish?",
            "Tell me what kind of animal {x} is.",
            "{X} is what kind of animal?",
            "Do you know what (kind|type) of animal {x} is?",
            "What animal group is {x} in?",
        ),
        "{X} is {w}.",
        tables.classes(right=True),
    ),
    Kind(2, ("Is {x} {w}?",), "Yes, {x} is {w}.", tables.classes(right=True)),
    Kind(2, ("Is {x} {w}?",), "No, {x} is {k}.", tables.classes(right=False)),
    Kind(
        14,
        (
            "(What|Which) is the capital(| city) of {x}?",
            "What's the capital(| city) of {x}?",
            "(Tell me|Name|Say|Give me) the capital of {x}.",
            "(What|Which) city is the capital of {x}?",
            "(Do you know|Can you tell me) the capital of {x}?",
            "Capital(| city) of {x}?",
            "The capital of {x} is (what|which city)?",
            "What is the name of the capital of {x}?",
            "I (want|would like|need) to know the capital of {x}.",
            "What is {x}'s capital?",
            "What capital does {x} have?",
            "Where is the capital of {x}, what is its name?",
        ),
        "The capital of {x} is {y}.",
        tables.CAPITALS,
    ),
    Kind(
        5,
        (
            "{Y} is the capital of (what|which) country?",
            "(What|Which) country has {y} as its capital?",
            "Of (what|which) country is {y} the capital?",
            "{Y} is the capital of what?",
            "(What|Which) country's capital is {y}?",
            "Tell me which country has the capital {y}.",
            "(Do you know what|What) country is {y} the capital of?",
            "The capital of which country is {y}?",
        ),
        "{Y} is the capital of {x}.",
        tables.CAPITALS,
    ),
    Kind(2, ("Is {y} the capital of {x}?",), "Yes, the capital of {x} is {y}.", tables.CAPITALS),
    Kind(
        2,
        ("Is {w} the capital of {x}?",),
        "No, the capital of {x} is {y}.",
        shifted(tables.CAPITALS, "y", (1, 5, 19)),
    ),
    Kind(
        8,
        (
            "How do (you|I|we) say '{e}' in Spanish?",
            "How do (you|I|we) say {e} in Spanish?",
            "(What is|What's) '{e}' in Spanish?",
            "(What is|What's) {e} in Spanish?",
            "(What is|What's) the Spanish (word |)for {e}?",
            "Translate {e} (to|into) Spanish.",
            "Translate '{e}' (to|into) Spanish.",
            "(Say|Tell me|Write) {e} in Spanish.",
            "(Tell me|Give me) the Spanish word for {e}.",
            "What do you call {e} in Spanish?",
            "{E} in Spanish?",
            "(Do you know how to|How can I|How would you) say {e} in Spanish?",
        ),
        "'{E}' in Spanish is '{s}'.",
        WORDS,
    ),
    Kind(
        6,
        (
            "How do (you|I|we) say '{s}' in English?",
            "How do (you|I|we) say {s} in English?",
            "What does '{s}' mean(| in English)?",
            "What does {s} mean(| in English)?",
            "(What is|What's) '{s}' in English?",
            "(What is|What's) {s} in English?",
            "Translate {s} (to|into) English.",
            "(Say|Tell me|Write) {s} in English.",
            "What does the Spanish word {s} mean?",
            "(What is the meaning|What's the meaning) of the Spanish word {s}?",
            "{S} in English?",
        ),
        "'{S}' in English is '{e}'.",
        WORDS,
    ),
    Kind(
        4,
        (
            "(What is|What's) the plural of '{x}'?",
            "(What is|What's) the plural of {x}?",
            "(Tell me|Give me|Say|Write) the plural of {x}.",
            "Plural of {x}?",
            "How do (you|I|we) (write|say|make|form) the plural of {x}?",
            "One {x}, two what?",
            "What do you call more than one {x}?",
            "(Do you know|Can you tell me) the plural of {x}?",
        ),
        "The plural of {x} is {y}.",
        tables.PLURALS,
    ),
    *counting(COUNT, tables.NUMBERS),
    Kind(
        2,
        (
            "Is {x} (bigger|greater|larger|more) than {y}?",
            "Is {y} (smaller|less) than {x}?",
        ),
        "Yes, {x} is greater than {y}.",
        larger(),
    ),
    Kind(
        2,
        (
            "Is {y} (bigger|greater|larger|more) than {x}?",
            "Is {x} (smaller|less) than {y}?",
        ),
        "No, {x} is greater than {y}.",
        larger(),
    ),
    Kind(
        2,
        (
            "Which (number |)is (bigger|greater|larger), {x} or {y}?",
            "Which (number |)is (bigger|greater|larger), {y} or {x}?",
            "What is (more|greater|bigger), {y} or {x}?",
            "Tell me which is (greater|bigger), {x} or {y}.",
        ),
        "{x} is greater than {y}.",
        larger(),
    ),
    Kind(
        6,
        (
            "How many {p} (are there|are) in {x}?",
            "How many {p} does {x} have?",
            "How many {p} has {x}?",
            "Tell me how many {p} {x} has.",
            "(What is|What's) the number of {p} (in|of) {x}?",
            "{X} has how many {p}?",
            "How many {p} in {x}?",
            "(Do you know|Can you tell me) how many {p} {x} has?",
        ),
        "{X} has {n} {p}.",
        tables.PARTS,
    ),
    Kind(6, ("{q}",), "{a}", tables.GENERAL),
    Kind(4, ("{q}",), "Yes, {a}.", tables.YES),
    Kind(4, ("{q}",), "No, {a}.", tables.NO),
)
