"""The ways that people ask for simple facts in Spanish, and the answers."""

from __future__ import annotations

from mini import tables_es as tables
from mini.facts_words import WORDS
from mini.grammar import Kind, both_ways, counting, follow, having, larger, order, shifted

AFTER = (
    "¿Qué {t} (viene|va|sigue|hay) (|justo )después {{d}}?",
    "¿Cuál es {w} (que (viene|va|sigue)|) después {{d}}?",
    "¿Qué (viene|va) después {{d}}?",
    "Dime {w} (que viene|que va|) después {{d}}.",
    "Después {{d}}, ¿qué {t} (viene|sigue)?",
    "¿Sabes qué {t} (viene|va) después {{d}}?",
    "¿Cuál es {w} siguiente después {{d}}?",
    "¿Qué {t} viene después de {{b}}?",
    "Di {w} que (viene|va) después {{d}}.",
)
BEFORE = (
    "¿Qué {t} (viene|va|está|hay) (|justo )antes {{d}}?",
    "¿Cuál es {w} (que (viene|va)|) antes {{d}}?",
    "¿Qué (viene|va) antes {{d}}?",
    "Dime {w} (que viene|que va|) antes {{d}}.",
    "Antes {{d}}, ¿qué {t} (viene|va)?",
    "¿Sabes qué {t} (viene|va) antes {{d}}?",
    "¿Qué {t} viene antes de {{b}}?",
    "Di {w} que (viene|va) antes {{d}}.",
)
COUNT = (
    "Cuenta (de|desde) {x} (a|hasta) {y}.",
    "Cuenta del {x} al {y}.",
    "¿(Puedes|Podrías|Sabes) contar (del {x} al {y}|desde {x} hasta {y}|de {x} a {y})?",
    "(Dime|Di|Escribe|Dame) los números (del {x} al {y}|de {x} a {y}).",
    "¿Cómo se cuenta del {x} al {y}?",
    "¿Cuáles son los números del {x} al {y}?",
    "Quiero que cuentes del {x} al {y}.",
    "Cuéntame del {x} al {y}.",
)
LEGS = (
    "¿Cuántas patas tiene {x}?",
    "¿Cuál es el número de patas {d}?",
    "Dime cuántas patas tiene {x}.",
    "¿Sabes cuántas patas tiene {x}?",
    "¿Con cuántas patas (anda|camina) {x}?",
    "{X}, ¿cuántas patas tiene?",
    "¿Cuántas patas (hay en|tiene el cuerpo de) {x}?",
    "¿Me dices cuántas patas tiene {x}?",
)
DIGITS = [str(number) for number in range(101)]
LEGLESS = tables.with_of(tuple(row for row in tables.ANIMALS if row["n"] == "0"))


def neighbours(
    weight: int, thing: str, names: list[str], *, the: str = "el", around: bool = False
) -> tuple[Kind, ...]:
    """What comes after and before."""
    found = follow(names, around=around)
    back = tuple({"x": row["y"], "y": row["x"]} for row in found)
    after, before = (
        tuple(template.format(t=thing, w=f"{the} {thing}") for template in templates)
        for templates in (AFTER, BEFORE)
    )
    return (
        Kind(weight, after, "Después {d} viene {y}.", tables.with_of(found)),
        Kind(weight, before, "Antes {d} viene {y}.", tables.with_of(back)),
    )


KINDS: tuple[Kind, ...] = (
    Kind(
        8,
        (
            "¿De qué color {be} {x}?",
            "¿Cuál es el color {d}?",
            "¿Qué color (tiene|tendría) {x}?",
            "Dime (de qué color {be} {x}|el color {d}).",
            "¿Sabes de qué color {be} {x}?",
            "{X}, ¿de qué color {be}?",
            "(Quiero|Necesito|Me gustaría) saber el color {d}.",
            "¿(Puedes|Podrías|Sabes) decirme (el color {d}|de qué color {be} {x})?",
            "¿Me dices de qué color {be} {x}?",
            "¿El color {d}?",
            "¿Con qué color pintarías {x}?",
        ),
        "{X} {be} {c}.",
        tables.with_of(tables.COLOURS),
    ),
    Kind(2, ("¿{BE} {c} {x}?", "¿{BE} {x} {c}?"), "Sí, {x} {be} {c}.", tables.COLOURS),
    Kind(2, ("¿{BE} {w} {x}?", "¿{BE} {x} {w}?"), "No, {x} {be} {c}.", tables.wrong_colours()),
    Kind(
        10,
        (
            "¿Cuál es (lo contrario|el contrario|lo opuesto|el opuesto) de {x}?",
            "¿Cuál es (lo contrario|el contrario|lo opuesto|el opuesto) de '{x}'?",
            "¿Qué es lo (contrario|opuesto) de {x}?",
            "(Dime|Di|Dame) (lo contrario|el contrario|lo opuesto|el opuesto) de {x}.",
            "¿Qué palabra es (la contraria|la opuesta|lo contrario) de {x}?",
            "¿Lo (contrario|opuesto) de {x}?",
            "¿Sabes (lo contrario|el contrario|lo opuesto) de {x}?",
            "¿(Puedes|Podrías) decirme lo (contrario|opuesto) de {x}?",
            "¿{X} es lo contrario de qué?",
            "¿Cuál es el antónimo de {x}?",
            "¿Qué es lo (contrario|opuesto) a {x}?",
            "Si no es {x}, ¿qué es lo contrario?",
        ),
        "Lo contrario de {x} es {y}.",
        both_ways(tables.OPPOSITES),
    ),
    *neighbours(3, "día", tables.DAYS, around=True),
    *neighbours(3, "mes", tables.MONTHS, around=True),
    *neighbours(1, "estación", tables.SEASONS, the="la", around=True),
    *neighbours(3, "número", [f"el {digits}" for digits in DIGITS]),
    *neighbours(1, "número", [f"el {word}" for word in tables.NUMBERS]),
    *neighbours(2, "letra", tables.LETTERS, the="la"),
    *(
        Kind(
            2,
            (
                f"¿Cuál es {the} {{o}} {thing} {whole}?",
                f"¿Qué {thing} es {the} {{o}} {whole}?",
                f"(Dime|Di) {the} {{o}} {thing} {whole}.",
                f"¿Sabes cuál es {the} {{o}} {thing} {whole}?",
                f"¿(Puedes|Podrías) decirme {the} {{o}} {thing} {whole}?",
                f"¿{the.capitalize()} {{o}} {thing} {whole}?",
            ),
            f"{the.capitalize()} {{o}} {thing} {whole} es {{x}}.",
            order(names, ordinals),
        )
        for the, thing, whole, names, ordinals in (
            ("el", "día", "de la semana", tables.DAYS, tables.ORDINALS),
            ("el", "mes", "del año", tables.MONTHS, tables.ORDINALS),
            ("la", "letra", "del alfabeto", tables.LETTERS, tables.FEMININE),
        )
    ),
    Kind(
        3,
        (
            "¿Cuántos días tiene (|el mes de ){x}?",
            "¿Cuántos días (hay en|dura) {x}?",
            "Dime cuántos días tiene {x}.",
            "{X}, ¿cuántos días tiene?",
            "¿Cuál es el número de días de {x}?",
            "¿Sabes cuántos días tiene {x}?",
            "¿De cuántos días es {x}?",
            "¿Me dices cuántos días tiene {x}?",
        ),
        "{X} tiene {n} días.",
        tables.lengths(),
    ),
    Kind(
        4,
        (
            "¿Qué (sonido|ruido) hace {x}?",
            "¿Cómo hace {x}?",
            "¿Qué hace {x} (al hacer ruido|cuando hace ruido)?",
            "Dime (qué sonido|el sonido que) hace {x}.",
            "¿Cuál es el (sonido|ruido) {d}?",
            "¿Cómo suena {x}?",
            "¿Sabes qué (sonido|ruido) hace {x}?",
            "¿Cómo se llama el sonido que hace {x}?",
        ),
        "{X} {s}.",
        tables.with_of(having(tables.ANIMALS, "s")),
    ),
    Kind(4, LEGS, "{X} tiene {n} patas.", tables.with_of(having(tables.ANIMALS, "n"))),
    Kind(1, LEGS, "{X} no tiene patas.", LEGLESS),
    Kind(
        4,
        (
            "¿Qué come {x}?",
            "¿De qué se alimenta {x}?",
            "¿Qué (comida|alimento|cosas) come {x}?",
            "¿Cuál es (la comida|el alimento) {d}?",
            "Dime qué come {x}.",
            "¿Sabes qué come {x}?",
            "¿Qué le gusta comer a {x}?",
            "{X}, ¿qué come?",
        ),
        "{X} come {e}.",
        tables.with_of(tables.ANIMALS),
    ),
    Kind(
        4,
        (
            "¿Dónde vive {x}?",
            "¿En qué (lugar|sitio) vive {x}?",
            "¿Dónde (está|queda) la casa {d}?",
            "¿Cuál es (el hábitat|la casa) {d}?",
            "Dime dónde vive {x}.",
            "¿Sabes dónde vive {x}?",
            "{X}, ¿dónde vive?",
            "¿Dónde se encuentra {x}?",
        ),
        "{X} {h}.",
        tables.with_of(tables.ANIMALS),
    ),
    Kind(
        3,
        (
            "¿Qué (tipo|clase) de animal es {x}?",
            "¿Qué es {x}, un mamífero, un ave, un pez o un insecto?",
            "¿A qué (grupo|clase) de animales pertenece {x}?",
            "¿{X} es un mamífero, un ave o un pez?",
            "Dime qué (tipo|clase) de animal es {x}.",
            "¿Sabes qué (tipo|clase) de animal es {x}?",
            "{X}, ¿qué (tipo|clase) de animal es?",
            "¿En qué grupo de animales está {x}?",
        ),
        "{X} es {k}.",
        tables.ANIMALS,
    ),
    Kind(2, ("¿Es {x} {w}?", "¿{X} es {w}?"), "Sí, {x} es {k}.", tables.classes(right=True)),
    Kind(2, ("¿Es {x} {w}?", "¿{X} es {w}?"), "No, {x} es {k}.", tables.classes(right=False)),
    Kind(
        14,
        (
            "¿Cuál es la (capital|ciudad capital) {d}?",
            "¿Qué ciudad es la capital {d}?",
            "(Dime|Di|Dame) la capital {d}.",
            "¿(Sabes|Conoces) (cuál es |)la capital {d}?",
            "¿(Puedes|Podrías) decirme (cuál es |)la capital {d}?",
            "¿(La capital|Capital) {d}?",
            "¿Cómo se llama la capital {d}?",
            "(Quiero|Necesito|Me gustaría) saber (cuál es |)la capital {d}.",
            "¿Qué capital tiene {x}?",
            "{X}, ¿qué capital tiene?",
            "¿Cuál es el nombre de la capital {d}?",
            "La capital {d}, ¿cuál es?",
        ),
        "La capital {d} es {y}.",
        tables.with_of(tables.CAPITALS),
    ),
    Kind(
        5,
        (
            "¿De qué país es (la |)capital {y}?",
            "¿{Y} es la capital de qué país?",
            "¿Qué país tiene (como|por) capital {y}?",
            "¿Cuál es el país cuya capital es {y}?",
            "Dime de qué país es capital {y}.",
            "¿Sabes de qué país es capital {y}?",
            "{Y}, ¿de qué país es la capital?",
            "¿La capital de qué país es {y}?",
        ),
        "{Y} es la capital {d}.",
        tables.with_of(tables.CAPITALS),
    ),
    Kind(
        2,
        ("¿Es {y} la capital {d}?", "¿La capital {d} es {y}?"),
        "Sí, la capital {d} es {y}.",
        tables.with_of(tables.CAPITALS),
    ),
    Kind(
        2,
        ("¿Es {w} la capital {d}?", "¿La capital {d} es {w}?"),
        "No, la capital {d} es {y}.",
        tables.with_of(shifted(tables.CAPITALS, "y", (1, 5, 19))),
    ),
    Kind(
        8,
        (
            "¿Cómo se (dice|escribe) '{s}' en inglés?",
            "¿Cómo se (dice|escribe) {s} en inglés?",
            "¿Cómo (digo|puedo decir|dirías) {s} en inglés?",
            "¿Qué es {s} en inglés?",
            "¿Cuál es la palabra inglesa para {s}?",
            "(Traduce|Traduce la palabra|Tradúceme) {s} al inglés.",
            "(Traduce|Traduce la palabra) '{s}' al inglés.",
            "(Dime|Di|Escribe) {s} en inglés.",
            "¿Sabes cómo se dice {s} en inglés?",
            "¿{S} en inglés?",
            "¿Me traduces {s} al inglés?",
        ),
        "'{S}' en inglés es '{e}'.",
        WORDS,
    ),
    Kind(
        6,
        (
            "¿Cómo se dice '{e}' en español?",
            "¿Cómo se dice {e} en (español|castellano)?",
            "¿Qué (significa|quiere decir) '{e}'(| en español)?",
            "¿Qué (significa|quiere decir) {e}(| en español)?",
            "(Traduce|Traduce la palabra|Tradúceme) {e} al español.",
            "(Dime|Di|Escribe) {e} en español.",
            "¿Qué (significa|quiere decir) la palabra inglesa {e}?",
            "¿Cuál es el significado de la palabra inglesa {e}?",
            "¿{E} en español?",
            "¿Me traduces {e} al español?",
        ),
        "'{E}' en español es '{s}'.",
        WORDS,
    ),
    Kind(
        4,
        (
            "¿Cuál es el plural de '{x}'?",
            "¿Cuál es el plural de {x}?",
            "(Dime|Di|Dame|Escribe) el plural de {x}.",
            "¿El plural de {x}?",
            "¿Cómo se (dice|escribe|forma) el plural de {x}?",
            "¿Cómo se dice {x} en plural?",
            "¿Sabes (cuál es |)el plural de {x}?",
            "Pon {x} en plural.",
        ),
        "El plural de {x} es {y}.",
        tables.PLURALS,
    ),
    *counting(COUNT, tables.NUMBERS),
    Kind(
        2,
        ("¿(Es {x}|{x} es|Es el {x}) mayor que {y}?", "¿(Es {y}|{y} es) menor que {x}?"),
        "Sí, {x} es mayor que {y}.",
        larger(),
    ),
    Kind(
        2,
        ("¿(Es {y}|{y} es|Es el {y}) mayor que {x}?", "¿(Es {x}|{x} es) menor que {y}?"),
        "No, {x} es mayor que {y}.",
        larger(),
    ),
    Kind(
        2,
        (
            "¿(Cuál|Qué número) es mayor, {x} o {y}?",
            "¿(Cuál|Qué número) es mayor, {y} o {x}?",
            "¿Qué es más, {y} o {x}?",
            "Dime cuál es mayor, {x} o {y}.",
        ),
        "{x} es mayor que {y}.",
        larger(),
    ),
    Kind(
        6,
        (
            "¿{H} {p} tiene {x}?",
            "¿{H} {p} hay en {x}?",
            "Dime {h} {p} tiene {x}.",
            "¿Cuál es el número de {p} (en|que tiene) {x}?",
            "{X}, ¿{h} {p} tiene?",
            "¿Sabes {h} {p} (tiene|hay en) {x}?",
            "¿(Puedes|Podrías) decirme {h} {p} tiene {x}?",
            "¿Me dices {h} {p} tiene {x}?",
        ),
        "{X} tiene {n} {p}.",
        tables.PARTS,
    ),
    Kind(6, ("{q}",), "{a}", tables.GENERAL),
    Kind(4, ("{q}",), "Sí, {a}.", tables.YES),
    Kind(4, ("{q}",), "No, {a}.", tables.NO),
)
