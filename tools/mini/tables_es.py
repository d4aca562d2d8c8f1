"""Tables of simple true facts in Spanish; articles and agreement are in the tables."""

from __future__ import annotations

from mini.grammar import Row, of, rows

COLOURS = rows(
    "x be c",
    """el cielo|es|azul; la hierba|es|verde; la sangre|es|roja; el plátano|es|amarillo; la nieve|es|
    blanca; la leche|es|blanca; el carbón|es|negro; el limón|es|amarillo; la naranja|es|naranja;
    la zanahoria|es|naranja; el tomate|es|rojo; la fresa|es|roja; la cereza|es|roja; la rana|es|
    verde; la lechuga|es|verde; el pepino|es|verde; la espinaca|es|verde; el brócoli|es|verde;
    los guisantes|son|verdes; el mar|es|azul; el chocolate|es|marrón; el café|es|marrón;
    el elefante|es|gris; el cuervo|es|negro; el panda|es|blanco y negro; la cebra|es|blanca y
    negra; el pingüino|es|blanco y negro; el flamenco|es|rosa; el cerdo|es|rosa; el oso polar|es|
    blanco; el cisne|es|blanco; la sal|es|blanca; el azúcar|es|blanco; la harina|es|blanca;
    el algodón|es|blanco; el maíz|es|amarillo; el girasol|es|amarillo; el rubí|es|rojo;
    la esmeralda|es|verde; el zafiro|es|azul; la calabaza|es|naranja; el cielo de noche|es|negro;
    el planeta Marte|es|rojo; el camión de bomberos|es|rojo; la mariquita|es|roja; el ratón|es|
    gris; las hojas|son|verdes; las nubes|son|blancas; el gorila|es|negro; el arroz|es|blanco""",
)
OPPOSITES = rows(
    "x y",
    """caliente|frío; grande|pequeño; alto|bajo; largo|corto; rápido|lento; bueno|malo;
    feliz|triste;
    día|noche; arriba|abajo; izquierda|derecha; abierto|cerrado; lleno|vacío; duro|blando; pesado|
    ligero; claro|oscuro; mojado|seco; joven|viejo; nuevo|viejo; rico|pobre; fuerte|débil; limpio|
    sucio; temprano|tarde; fácil|difícil; primero|último; dentro|fuera; ruidoso|silencioso; amor|
    odio; más|menos; mucho|poco; cerca|lejos; encendido|apagado; encima|debajo; empujar|tirar;
    seguro|peligroso; igual|diferente; dulce|amargo; grueso|delgado; verdadero|falso; ancho|
    estrecho; ganar|perder; sí|no; siempre|nunca; antes|después; empezar|terminar; bonito|feo;
    comprar|vender; barato|caro; profundo|superficial; entrar|salir; todo|nada; delante|detrás;
    dar|recibir; valiente|cobarde; reír|llorar; vida|muerte; guerra|paz; norte|sur; este|oeste;
    liso|áspero; listo|tonto; posible|imposible; visible|invisible; verano|invierno; blanco|negro;
    pregunta|respuesta; recordar|olvidar; llegar|partir; vivo|muerto; dormido|despierto; subir|
    bajar; abrir|cerrar; bien|mal; alegría|tristeza; simple|complejo; útil|inútil; justo|injusto;
    legal|ilegal; amigo|enemigo; amable|grosero; gordo|flaco; luz|oscuridad; encender|apagar""",
)
ANIMALS = rows(
    "x s n k e h",
    """el perro|ladra|4|un mamífero|carne|vive con las personas; el gato|maúlla|4|un mamífero|carne|
    vive con las personas; la vaca|muge|4|un mamífero|hierba|vive en la granja; el caballo|relincha|
    4|un mamífero|hierba|vive en la granja; la oveja|bala|4|un mamífero|hierba|vive en la granja;
    el cerdo|gruñe|4|un mamífero|casi de todo|vive en la granja; la cabra|bala|4|un mamífero|
    hierba|vive en la granja; el burro|rebuzna|4|un mamífero|hierba|vive en la granja; la gallina|
    cacarea|2|un ave|grano|vive en la granja; el gallo|canta|2|un ave|grano|vive en la granja;
    el pato|grazna|2|un ave|plantas e insectos|vive cerca del agua; el león|ruge|4|un mamífero|
    carne|vive en la sabana; el tigre|ruge|4|un mamífero|carne|vive en la selva; el lobo|aúlla|4|
    un mamífero|carne|vive en el bosque; el oso|gruñe|4|un mamífero|fruta, peces y carne|vive en el
    bosque; el elefante|barrita|4|un mamífero|plantas|vive en la sabana; el ratón|chilla|4|un
    mamífero|semillas|vive en un agujero; la rana|croa|4|un anfibio|insectos|vive cerca del agua;
    la serpiente|sisea|0|un reptil|animales pequeños|vive en el suelo; el búho|ulula|2|un ave|
    ratones|vive en el bosque; la paloma|arrulla|2|un ave|semillas|vive en la ciudad; la abeja|
    zumba|6|un insecto|néctar|vive en una colmena; el cuervo|grazna|2|un ave|casi de todo|vive en
    los árboles; el mono|chilla||un mamífero|fruta|vive en la selva; la mosca|zumba|6|un insecto|
    comida podrida|vive cerca de las personas; el grillo|canta|6|un insecto|plantas|vive en la
    hierba; la llama||4|un mamífero|hierba|vive en los Andes; el conejo||4|un mamífero|hierba|vive
    en una madriguera; el tiburón||0|un pez|otros peces|vive en el mar; el salmón||0|un pez|peces
    pequeños|vive en los ríos y en el mar; la ballena|canta|0|un mamífero|kril|vive en el mar;
    el delfín|silba|0|un mamífero|peces|vive en el mar; el águila|chilla|2|un ave|carne|vive en las
    montañas; el pingüino||2|un ave|peces|vive cerca del mar frío; la hormiga||6|un insecto|
    semillas e insectos|vive en un hormiguero; la mariposa||6|un insecto|néctar|vive en los campos;
    la araña||8|un arácnido|insectos|vive en su telaraña; la tortuga||4|un reptil|plantas|vive
    cerca del agua; el cocodrilo||4|un reptil|carne|vive en los ríos; la jirafa||4|un mamífero|
    hojas|vive en la sabana; la cebra||4|un mamífero|hierba|vive en la sabana; el camello||4|un
    mamífero|plantas|vive en el desierto; el panda||4|un mamífero|bambú|vive en las montañas;
    el canguro|||un mamífero|hierba|vive en Australia; el murciélago||2|un mamífero|insectos|vive
    en las cuevas; la ardilla||4|un mamífero|nueces|vive en los árboles; el cóndor||2|un ave|
    carroña|vive en los Andes""",
)
CAPITALS = rows(
    "x y",
    """Argentina|Buenos Aires; Bolivia|Sucre; Brasil|Brasilia; Canadá|Ottawa; Chile|Santiago;
    Colombia|Bogotá; Costa Rica|San José; Cuba|La Habana; la República Dominicana|Santo Domingo;
    Ecuador|Quito; El Salvador|San Salvador; Guatemala|Ciudad de Guatemala; Haití|Puerto Príncipe;
    Honduras|Tegucigalpa; Jamaica|Kingston; México|Ciudad de México; Nicaragua|Managua; Panamá|
    Ciudad de Panamá; Paraguay|Asunción; Perú|Lima; Estados Unidos|Washington; Uruguay|Montevideo;
    Venezuela|Caracas; Guyana|Georgetown; Surinam|Paramaribo; Belice|Belmopán; las Bahamas|Nasáu;
    Barbados|Bridgetown; Trinidad y Tobago|Puerto España; Antigua y Barbuda|Saint John's;
    Dominica|Roseau; Granada|Saint George's; Santa Lucía|Castries; San Cristóbal y Nieves|
    Basseterre; San Vicente y las Granadinas|Kingstown; España|Madrid; Portugal|Lisboa; Francia|
    París; Alemania|Berlín; Italia|Roma; el Reino Unido|Londres; Irlanda|Dublín; los Países Bajos|
    Ámsterdam; Bélgica|Bruselas; Suiza|Berna; Austria|Viena; Polonia|Varsovia; Grecia|Atenas;
    Suecia|Estocolmo; Noruega|Oslo; Dinamarca|Copenhague; Finlandia|Helsinki; Rusia|Moscú; Ucrania|
    Kiev; Hungría|Budapest; la República Checa|Praga; Rumania|Bucarest; Japón|Tokio; China|Pekín;
    India|Nueva Delhi; Corea del Sur|Seúl; Tailandia|Bangkok; Vietnam|Hanói; Filipinas|Manila;
    Turquía|Ankara; Egipto|El Cairo; Marruecos|Rabat; Kenia|Nairobi; Nigeria|Abuya; Etiopía|Adís
    Abeba; Senegal|Dakar; Australia|Canberra""",
)
DAYS = [
    "el lunes",
    "el martes",
    "el miércoles",
    "el jueves",
    "el viernes",
    "el sábado",
    "el domingo",
]
MONTHS = [
    "enero",
    "febrero",
    "marzo",
    "abril",
    "mayo",
    "junio",
    "julio",
    "agosto",
    "septiembre",
    "octubre",
    "noviembre",
    "diciembre",
]
ORDINALS = [
    "primer",
    "segundo",
    "tercer",
    "cuarto",
    "quinto",
    "sexto",
    "séptimo",
    "octavo",
    "noveno",
    "décimo",
    "undécimo",
    "duodécimo",
]
FEMININE = [
    "primera",
    "segunda",
    "tercera",
    "cuarta",
    "quinta",
    "sexta",
    "séptima",
    "octava",
    "novena",
    "décima",
    "undécima",
    "duodécima",
]
SEASONS = ["la primavera", "el verano", "el otoño", "el invierno"]
LETTERS = [f"la {letter}" for letter in "abcdefghijklmnñopqrstuvwxyz"]
NUMBERS = [
    "cero",
    "uno",
    "dos",
    "tres",
    "cuatro",
    "cinco",
    "seis",
    "siete",
    "ocho",
    "nueve",
    "diez",
    "once",
    "doce",
    "trece",
    "catorce",
    "quince",
    "dieciséis",
    "diecisiete",
    "dieciocho",
    "diecinueve",
    "veinte",
]
PLURALS = rows(
    "x y",
    """perro|perros; gato|gatos; casa|casas; libro|libros; árbol|árboles; flor|flores; luz|luces;
    pez|peces; voz|voces; lápiz|lápices; mujer|mujeres; hombre|hombres; niño|niños; niña|niñas;
    ciudad|ciudades; país|países; rey|reyes; ley|leyes; canción|canciones; camión|camiones;
    ratón|ratones; león|leones; avión|aviones; corazón|corazones; papel|papeles; animal|animales;
    sol|soles; mes|meses; día|días; mano|manos; pie|pies; lunes|lunes; martes|martes; crisis|crisis;
    paraguas|paraguas; nariz|narices; vez|veces; cruz|cruces; color|colores; reloj|relojes;
    jardín|jardines; café|cafés; joven|jóvenes; examen|exámenes; mesa|mesas; amigo|amigos""",
)
PARTS = rows(
    "h p x n",
    """cuántos|segundos|un minuto|60; cuántos|minutos|una hora|60; cuántas|horas|un día|24; cuántos|
    días|una semana|7; cuántos|días|un año|365; cuántos|meses|un año|12; cuántas|semanas|un año|52;
    cuántos|años|un siglo|100; cuántos|años|una década|10; cuántos|centímetros|un metro|100;
    cuántos|metros|un kilómetro|1000; cuántos|gramos|un kilo|1000; cuántos|huevos|una docena|12;
    cuántos|lados|un triángulo|3; cuántos|lados|un cuadrado|4; cuántos|dedos|una mano|5; cuántas|
    ruedas|un coche|4; cuántas|ruedas|una bicicleta|2; cuántas|ruedas|un triciclo|3; cuántas|letras|
    el alfabeto español|27; cuántos|colores|el arcoíris|7; cuántas|estaciones|un año|4; cuántos|
    planetas|el sistema solar|8; cuántas|cuerdas|una guitarra|6; cuántos|jugadores|un equipo de
    fútbol|11; cuántos|días|un año bisiesto|366; cuántos|centavos|un dólar|100; cuántos|años|un
    milenio|1000; cuántos|lados|un hexágono|6; cuántos|lados|un pentágono|5; cuántas|teclas|un
    piano|88; cuántos|minutos|media hora|30; cuántos|días|un fin de semana|2; cuántos|milímetros|un
    centímetro|10""",
)
GENERAL = rows(
    "q a",
    """¿Cuál es el océano más grande(| del mundo)?|El océano más grande es el Pacífico.; ¿Cuál es el
    planeta más grande(| del sistema solar)?|El planeta más grande es Júpiter.; ¿Cuál es el planeta
    más pequeño?|El planeta más pequeño es Mercurio.; ¿Cuál es la montaña más alta(| del mundo)?|La
    montaña más alta es el Everest.; ¿Por dónde sale el sol?|El sol sale por el este.; ¿Por dónde
    se pone el sol?|El sol se pone por el oeste.; ¿Qué (hacen|producen|fabrican) las abejas?|Las
    abejas hacen miel.; ¿(Qué es|De qué es) el hielo?|El hielo es agua congelada.; ¿Con qué
    (vemos|miramos)?|Vemos con los ojos.; ¿Con qué (oímos|escuchamos)?|Oímos con los oídos.; ¿Con
    qué olemos?|Olemos con la nariz.; ¿En qué planeta vivimos?|Vivimos en la Tierra.; ¿Cuál es la
    estrella más cercana(| a la Tierra)?|La estrella más cercana es el Sol.; ¿Qué gira alrededor de
    la Tierra?|La Luna gira alrededor de la Tierra.; ¿Alrededor de qué gira la Tierra?|La Tierra
    gira alrededor del Sol.; ¿Cuál es el animal más grande(| del mundo)?|El animal más grande es la
    ballena azul.; ¿Cuál es el animal más alto?|El animal más alto es la jirafa.; ¿Cuál es el
    animal (terrestre |)más rápido(| en tierra)?|El animal más rápido en tierra es el guepardo.; ¿De
    dónde (viene|sale) la leche?|La leche viene de la vaca.; ¿De dónde (vienen|salen) los huevos?|
    Los huevos vienen de la gallina.; ¿De dónde (viene|sale) la lana?|La lana viene de la oveja.;
    ¿De qué (se hace|está hecho) el pan?|El pan se hace con harina.; ¿De qué (se hace|está hecho)
    el queso?|El queso se hace con leche.; ¿De qué (se hace|está hecho) el vino?|El vino se hace
    con uvas.; ¿De qué (se hace|está hecho) el papel?|El papel se hace con madera.; ¿Cómo se llama
    (la cría|el hijo) del perro?|La cría del perro es el cachorro.; ¿Cómo se llama (la cría|el hijo)
    del gato?|La cría del gato es el gatito.; ¿Cómo se llama (la cría|el hijo) de la vaca?|La cría
    de la vaca es el ternero.; ¿Cuál es la estación más fría?|La estación más fría es el invierno.;
    ¿Cuál es la estación más (calurosa|cálida)?|La estación más calurosa es el verano.; ¿Qué
    (idioma|lengua) se habla en Brasil?|En Brasil se habla portugués.; ¿Qué (idioma|lengua) se habla
    en Francia?|En Francia se habla francés.; ¿Qué (idioma|lengua) se habla en México?|En México se
    habla español.; ¿Qué color (sale|se hace|resulta) con azul y amarillo?|Azul y amarillo hacen
    verde.; ¿Qué color (sale|se hace|resulta) con rojo y amarillo?|Rojo y amarillo hacen naranja.;
    ¿Qué color (sale|se hace|resulta) con rojo y azul?|Rojo y azul hacen morado.; ¿Qué necesitan
    las plantas(| para crecer)?|Las plantas necesitan agua y luz.; ¿A qué temperatura hierve el
    agua?|El agua hierve a 100 grados Celsius.; ¿A qué temperatura se congela el agua?|El agua se
    congela a 0 grados Celsius.; ¿(Qué día|Cuándo) es Navidad?|La Navidad es el 25 de diciembre.;
    ¿Cuáles son los días de la semana?|Lunes, martes, miércoles, jueves, viernes, sábado y
    domingo.; ¿Cuáles son las estaciones(| del año)?|Primavera, verano, otoño e invierno.; ¿Cuáles
    son los días del fin de semana?|El fin de semana es sábado y domingo.""",
)
YES = rows(
    "q a",
    """¿Es caliente el fuego?|el fuego es caliente; ¿Es frío el hielo?|el hielo es frío; ¿Es fría la
    nieve?|la nieve es fría; ¿(Vuela el pájaro|Vuelan los pájaros|Pueden volar los pájaros)?|los
    pájaros vuelan; ¿(Nada el pez|Nadan los peces|Pueden nadar los peces)?|los peces nadan; ¿Nada
    el pato?|el pato nada; ¿(Vuela|Puede volar) el murciélago?|el murciélago vuela; ¿Comen hierba
    las vacas?|las vacas comen hierba; ¿Ladran los perros?|los perros ladran; ¿Maúllan los gatos?|
    los gatos maúllan; ¿Necesitan agua las plantas?|las plantas necesitan agua; ¿Es dulce el
    azúcar?|el azúcar es dulce; ¿Es dulce la miel?|la miel es dulce; ¿Es grande el elefante?|el
    elefante es grande; ¿Es pequeña la hormiga?|la hormiga es pequeña; ¿Es redonda la Tierra?|la
    Tierra es redonda; ¿Gira la Tierra alrededor del Sol?|la Tierra gira alrededor del Sol; ¿Es
    dura la piedra?|la piedra es dura; ¿Es la manzana una fruta?|la manzana es una fruta; ¿Es la
    zanahoria una verdura?|la zanahoria es una verdura; ¿Es el sol una estrella?|el sol es una
    estrella; ¿Es Marte un planeta?|Marte es un planeta; ¿Hacen miel las abejas?|las abejas hacen
    miel; ¿Ponen huevos las gallinas?|las gallinas ponen huevos; ¿Salta la rana?|la rana salta; ¿Es
    ácido el limón?|el limón es ácido; ¿Es ligera la pluma?|la pluma es ligera; ¿Flota la madera?|la
    madera flota; ¿Tiene ruedas el coche?|el coche tiene ruedas; ¿Está caliente el sol?|el sol está
    caliente""",
)
NO = rows(
    "q a",
    """¿Es frío el fuego?|el fuego es caliente; ¿Es caliente el hielo?|el hielo es frío;
    ¿Es caliente
    la nieve?|la nieve es fría; ¿(Vuela el perro|Vuelan los perros|Pueden volar los perros)?|los
    perros no vuelan; ¿(Vuela el pez|Vuelan los peces|Pueden volar los peces)?|los peces nadan;
    ¿(Vuela|Puede volar) la vaca?|la vaca no vuela; ¿(Vuela|Puede volar) el pingüino?|el pingüino
    no vuela; ¿Camina la serpiente?|la serpiente no tiene patas; ¿Comen hierba los leones?|los
    leones comen carne; ¿Maúllan los perros?|los perros ladran; ¿Ladran los gatos?|los gatos
    maúllan; ¿Necesitan agua las piedras?|las piedras no necesitan nada; ¿Es salado el azúcar?|el
    azúcar es dulce; ¿Es amarga la miel?|la miel es dulce; ¿Es pequeño el elefante?|el elefante es
    grande; ¿Es grande la hormiga?|la hormiga es pequeña; ¿Es plana la Tierra?|la Tierra es
    redonda; ¿Gira el Sol alrededor de la Tierra?|la Tierra gira alrededor del Sol; ¿Es blanda la
    piedra?|la piedra es dura; ¿Es la manzana un animal?|la manzana es una fruta; ¿Es la zanahoria
    una fruta?|la zanahoria es una verdura; ¿Es el sol un planeta?|el sol es una estrella; ¿Es Marte
    una estrella?|Marte es un planeta; ¿Hacen miel las moscas?|las abejas hacen miel; ¿Ponen huevos
    las vacas?|las vacas no ponen huevos; ¿Camina el árbol?|el árbol no camina; ¿Es dulce el
    limón?|el limón es ácido; ¿Es pesada la pluma?|la pluma es ligera; ¿Flota el hierro?|el hierro
    se hunde; ¿Está frío el sol?|el sol está caliente""",
)
CLASSES = ["un mamífero", "un ave", "un pez", "un insecto", "un reptil"]


def with_of(table: tuple[Row, ...]) -> tuple[Row, ...]:
    """The rows with `d`, "de" before `x`, and `b`, `x` without its article."""
    return tuple(
        row | {"d": of(row["x"]), "b": row["x"].removeprefix("el ").removeprefix("la ")}
        for row in table
    )


def wrong_colours() -> tuple[Row, ...]:
    """Single things with colours that they don't have and that have one form for both genders."""
    others = ("azul", "verde", "gris", "marrón", "rosa")
    return tuple(
        row | {"w": other}
        for row in COLOURS
        for other in others
        if other != row["c"] and row["be"] == "es"
    )


def classes(*, right: bool) -> tuple[Row, ...]:
    """Animals with classes (`w`) that they belong to, or not."""
    return tuple(
        row | {"w": kind} for row in ANIMALS for kind in CLASSES if (kind == row["k"]) == right
    )


def lengths() -> tuple[Row, ...]:
    """The days of each month; February's answer says both."""
    days = dict.fromkeys(("abril", "junio", "septiembre", "noviembre"), "30")
    days["febrero"] = "28 o 29"
    return tuple({"x": month, "n": days.get(month, "31")} for month in MONTHS)
