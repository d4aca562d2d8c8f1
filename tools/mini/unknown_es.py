"""Questions in Spanish that mini is too small for, by what its honest answer is."""

from __future__ import annotations

from mini.grammar import Kind

WHO = (
    "(Napoleón|Cleopatra|Albert Einstein|Isaac Newton|Bolívar|Shakespeare|Mozart|Picasso|Gandhi|"
    "Julio César|Marie Curie|Beethoven|Frida Kahlo|Cervantes|Darwin|Lincoln|Platón|Atahualpa|"
    "Galileo|Churchill|Messi|Shakira|el último emperador|San Martín|Colón|Pizarro|Velázquez)"
)
EVENT = (
    "(la Revolución francesa|la Segunda Guerra Mundial|la Guerra Fría|la caída de Roma|"
    "la conquista de América|la Edad Media|la llegada a la Luna|la peste negra|la independencia de "
    "México|la Revolución industrial|la guerra civil española|la batalla de Ayacucho|la Reforma)"
)
TOPIC = (
    "(la mecánica cuántica|la relatividad|la inflación|la fotosíntesis|la democracia|la evolución|"
    "el existencialismo|la genética|la entropía|la bolsa|el cálculo|el cambio climático|la ópera|"
    "la teoría de juegos|el sistema inmune|la fusión nuclear|el capitalismo|el budismo|la "
    "filosofía|"
    "la criptografía|el motor eléctrico|la tectónica de placas|el sistema nervioso|la lingüística)"
)
ILL = (
    "(dolor de cabeza|fiebre|dolor de espalda|tos|gripe|diabetes|insomnio|una infección|asma|"
    "la tensión alta|dolor de estómago|un resfriado|alergia|ansiedad|dolor de muelas|anemia)"
)
CODE = (
    "(ordene una lista|invierta un texto|lea un archivo|descargue una página|busque primos|"
    "juegue al tres en raya|envíe un correo|dibuje un gráfico|cuente palabras|resuelva un "
    "laberinto)"
)
LANG = "(Python|Java|C|C++|Rust|Go|JavaScript|SQL|Bash|Ruby|Haskell|PHP)"
PLACE = (
    "(Lima|Madrid|Londres|Tokio|Nueva York|París|Cusco|Berlín|mi ciudad|Roma|Chicago|Quito|Moscú|"
    "Buenos Aires|Bogotá|La Paz)"
)
THEME = (
    "(un dragón|un perro perdido|el mar|dos amigos|un robot|el amor|un pirata|la guerra|el otoño|"
    "una princesa|un detective|un viaje al espacio|mi abuela|una casa encantada|la libertad)"
)
DISH = "(paella|lasaña|ceviche|sushi|pizza|una tarta de manzana|tacos|gazpacho|empanadas|locro)"
LAND = "(Francia|Perú|Japón|Brasil|Egipto|India|España|Canadá|China|Italia|Chile|Alemania|México)"

KINDS: tuple[Kind, ...] = (
    Kind(
        8,
        (
            (
                f"¿(Quién fue|Quién es|Qué hizo|Dónde nació|Cuándo nació|Cuándo murió|Qué sabes "
                f"de) {WHO}?"
            ),
            f"(Háblame de|Cuéntame la vida de|Dime quién fue) {WHO}.",
            f"¿(Qué fue|Cuándo fue|Qué causó|Por qué ocurrió|Cómo terminó|Cuándo empezó) {EVENT}?",
            f"(Háblame de|Explícame|Resume|Cuéntame) {EVENT}.",
            (
                f"¿(Qué pasó|Quién era rey|Quién ganó el Mundial|Quién gobernaba {LAND}) en "
                f"(1066|1492|"
                "1532|1789|1821|1914|1945|1969|1986|1998|2010|1750|1605|1888)?"
            ),
            f"(Explícame|Explica|Describe|Enséñame|Resume) {TOPIC}(| en detalle| paso a paso).",
            (
                f"¿(Qué es exactamente|Cómo funciona|Quién descubrió|Para qué sirve|Cómo se "
                f"estudia) "
                f"{TOPIC}?"
            ),
            (
                f"¿(Quién es el presidente|Cuál es la población|Cuál es la superficie|Cuál es "
                f"la moneda|"
                f"Cuál es la historia|Cómo es la economía) de {LAND}?"
            ),
            (
                "¿(A quién debo votar|Qué partido es mejor|Es bueno el gobierno|Quién ganará las "
                "elecciones|Qué piensas de la política|Existe Dios|Cuál es el sentido de la vida)?"
            ),
            (
                "¿(Quién hizo|De quién es|De qué trata|Qué opinas de) (el Quijote|Hamlet|la "
                "Mona Lisa|"
                "Titanic|la Odisea|Guernica|Rayuela|La vida es sueño|Cien años de soledad)?"
            ),
            f"¿Cómo (se hace|se prepara|preparo|puedo preparar|puedo cocinar|cocino) {DISH}?",
            (
                "¿Cómo (reparo|arreglo|puedo arreglar|puedo reparar|limpio) (mi coche|una "
                "bicicleta|"
                "la lavadora|mi teléfono|un barco|el techo|la impresora|el grifo)?"
            ),
            (
                "(Calcula|Halla|¿Cuál es|Dime) (la integral|la derivada|la raíz cuadrada|el coseno|"
                "el logaritmo) de (x al cuadrado|2|17|945|3x + 2|un polinomio)."
            ),
            (
                "¿Cómo (puedo |)(invertir dinero|escribir un contrato|pedir un visado|pagar menos "
                "impuestos|crear una empresa|comprar una casa|encontrar trabajo|aprender piano)?"
            ),
            f"¿(Cuántos kilómetros hay|Cuánto se tarda|Qué distancia hay) de {PLACE} a {PLACE}?",
            (
                "¿Cuál es (la fórmula química|el número atómico|el punto de fusión) (del hierro|"
                "del oro|"
                "de la sal|del uranio|del alcohol|del oxígeno|del plomo|del helio|del cobre)?"
            ),
        ),
        "Soy demasiado pequeño para saber eso. Prueba un modelo más grande con "
        "`ayllu run llama3.2`.",
    ),
    Kind(
        3,
        (
            f"¿(Qué puedo tomar para|Cómo se cura|Qué es bueno para|Cómo se trata) {ILL}?",
            f"(Tengo|Mi hijo tiene|Mi madre tiene|Mi amigo tiene) {ILL}(, ¿qué hago?|, ayuda|.)",
            f"¿(Cuáles son los síntomas|Cuál es la causa|Cuáles son las causas) de {ILL}?",
            (
                "¿(Puedo tomar|Es seguro tomar|Cuándo se toma) (aspirina|ibuprofeno|antibióticos|"
                "vitamina C|paracetamol|insulina)(| cada día| con vino| si estoy enfermo)?"
            ),
            "¿(Estoy|Crees que estoy) (enfermo|enferma|embarazada|muy gordo|muy delgado)?",
            (
                "(Me duele el pecho|Me duele la pierna|Estoy mareado|No puedo dormir|Me duele "
                "la espalda)"
                "(, ¿qué hago?|, ¿qué es?|.)"
            ),
        ),
        "Soy demasiado pequeño para ayudar con la salud. Pregunta a un médico, por favor.",
    ),
    Kind(
        4,
        (
            (
                f"(Escribe|Dame|Hazme|Muéstrame) (un programa|una función|un script) (de|en) "
                f"{LANG} que "
                f"{CODE}."
            ),
            f"¿Cómo (escribo|hago|puedo hacer) (un programa|una función) en {LANG} que {CODE}?",
            (
                f"(¿Por qué falla mi código de {LANG}?|Corrige mi código de {LANG}.|"
                f"Enséñame {LANG}.|"
                f"¿Qué es una clase en {LANG}?|Explica este código de {LANG}.)"
            ),
            (
                f"(Escribe|Cuéntame|Inventa|Hazme) (un cuento|una historia|un poema|una canción|"
                f"un ensayo|"
                f"una novela|una historia larga) sobre {THEME}."
            ),
            (
                f"(Escribe|Redacta) (una carta|un correo|un discurso|un informe|un artículo) "
                f"sobre {THEME}."
            ),
            (
                f"(Quiero|Necesito|Me gustaría) (un cuento|un poema|un ensayo|una canción) "
                f"sobre {THEME}."
            ),
            (
                "(Resume|Traduce|Corrige|Mejora|Reescribe) (este artículo|este libro|mi ensayo|"
                "este texto|"
                "mi carta|esta página|mi currículum|todo un capítulo)(|, por favor)."
            ),
            (
                "(Planea|Organiza) (mi viaje|una fiesta|una boda|mi semana|una dieta|mi "
                "presupuesto)"
                "(|, por favor)."
            ),
        ),
        "Soy demasiado pequeño para escribir eso. Prueba un modelo más grande con "
        "`ayllu run llama3.2`.",
    ),
    Kind(
        4,
        (
            (
                f"¿(Qué tiempo hace|Cómo está el tiempo|Qué temperatura hace|Qué clima hay) "
                f"en {PLACE}"
                "(| hoy| ahora)?"
            ),
            f"¿(Va a llover|Lloverá|Nevará|Hará sol|Hará calor) (|hoy |mañana )en {PLACE}?",
            (
                "¿(Qué hora es|Qué día es hoy|Qué fecha es|En qué año estamos|Cuál es la "
                "fecha de hoy|"
                f"Me dices la hora)(| en {PLACE})?"
            ),
            (
                "¿(Qué noticias hay|Qué hay de nuevo en el mundo|Qué ha pasado|Quién ganó "
                "el partido|"
                "Cuáles son los titulares|Qué hay en la tele)(| hoy| esta noche)?"
            ),
            (
                "¿(Cuál es el precio|Cuánto es el precio|Cuál es el valor) (del oro|del "
                "petróleo|del dólar|"
                "del bitcoin|del pan|de un billete a Roma)(| hoy| ahora)?"
            ),
            f"¿(Dónde está|Cuál es) el (mejor|peor) (restaurante|hotel|banco|hospital) de {PLACE}?",
            f"¿(Cuándo sale el (tren|autobús|avión) a|Hay vuelos a|Hay tráfico en) {PLACE}?",
        ),
        "Estoy sin conexión, así que no puedo saber eso.",
    ),
    Kind(
        2,
        (
            (
                "¿(En qué estoy pensando|Qué llevo puesto|Qué tengo en la mano|Dónde puse mis "
                "(llaves|gafas|"
                "cosas)|Dónde está mi (bolso|teléfono))?"
            ),
            (
                "¿(Cuántos años tengo|Dónde vivo|Cuándo es mi cumpleaños|En qué trabajo|Qué he "
                "comido hoy)?"
            ),
            (
                "¿(De qué color es|Dónde está|Cómo es) mi (coche|gato|perro|casa|puerta|"
                "bicicleta|cama)?"
            ),
            (
                "¿(Cómo se llama|Quién es|Dónde está) mi (hermano|hermana|jefe|amigo|profesora|"
                "maestro)?"
            ),
            (
                "¿(Qué pasará|Seré rico|Encontraré el amor|Qué haré|Seré feliz) (mañana|el año "
                "que viene|"
                "algún día|esta semana|en el futuro)?"
            ),
        ),
        "No puedo saber eso. Solo veo lo que escribes aquí.",
    ),
)
