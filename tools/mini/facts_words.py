"""Words in English and Spanish, for questions about translations."""

from __future__ import annotations

from mini.grammar import rows

WORDS = rows(
    "e s",
    """dog|perro; cat|gato; house|casa; water|agua; bread|pan; milk|leche; book|libro; tree|árbol;
    flower|flor; sun|sol; moon|luna; star|estrella; friend|amigo; mother|madre; father|padre;
    brother|hermano; sister|hermana; boy|niño; girl|niña; man|hombre; woman|mujer; door|puerta;
    window|ventana; table|mesa; chair|silla; bed|cama; school|escuela; street|calle; city|ciudad;
    country|país; river|río; mountain|montaña; fire|fuego; earth|tierra; heart|corazón;
    head|cabeza; hand|mano; foot|pie; eye|ojo; mouth|boca; red|rojo; blue|azul; green|verde;
    white|blanco; black|negro; yellow|amarillo; big|grande; small|pequeño; happy|feliz;
    sad|triste; good|bueno; bad|malo; hot|caliente; cold|frío; new|nuevo; today|hoy;
    tomorrow|mañana; yesterday|ayer; night|noche; day|día; one|uno; two|dos; three|tres;
    four|cuatro; five|cinco; ten|diez; hello|hola; goodbye|adiós; thank you|gracias;
    please|por favor; yes|sí; love|amor; food|comida; apple|manzana; fish|pez; bird|pájaro;
    horse|caballo; cow|vaca; rain|lluvia; snow|nieve; eat|comer; drink|beber; sleep|dormir;
    run|correr; read|leer; write|escribir""",
)
