"""Small talk in Spanish: one answer for each intent."""

from __future__ import annotations

from mini.grammar import Kind, rows

NAMES = rows(
    "n",
    """Ana; Luis; María; Pedro; Rosa; Juan; Carmen; José; Lucía; Diego; Sofía; Carlos;
    Elena; Miguel;
    Laura; Pablo; Marta; Jorge; Julia; Andrés; Paula; Daniel; Isabel; David; Clara; Mario; Sara;
    Raúl; Nora; Hugo; Eva; Óscar; Irene; Iván; Alba; Bruno; Lola; Felipe; Rita; Tomás; Antonio;
    Manuel; Francisco; Teresa; Pilar; Alberto; Fernando; Beatriz; Silvia; Patricia; Cristina;
    Ricardo; Roberto; Sergio; Javier; Mónica; Natalia; Valeria; Camila; Valentina; Mateo; Santiago;
    Gabriel; Nicolás; Emilia; Renata; Julieta; Martín; Lucas; Simón; Rocío; Noelia; Inés; Adriana;
    Lorena; Esteban; Ramón; Gloria; Quilla; Wayra""",
)
HI = "(Hola|Buenas|Buenos días|Buenas tardes|Hola, buenas|Hola mini)"

SMALL_TALK: tuple[Kind, ...] = (
    Kind(
        5,
        (
            (
                "(Hola|Holi|Buenas|Hey|Saludos|Holaa)(| mini| amigo| de nuevo| otra vez| a "
                "todos|, hola)"
                "(.|!|)"
            ),
            "¡Hola(| mini| amigo| de nuevo|, hola|, mini)!",
            "Hola, ¿(hay alguien|estás ahí|estás aquí|me oyes)?",
            "Hola, (soy nuevo aquí|soy yo|mucho gusto|encantado|he vuelto|ya estoy aquí)(.|)",
        ),
        "¡Hola! ¿En qué puedo ayudarte?",
    ),
    Kind(
        2,
        (
            "(|¡|Hola, |Muy )buenos días(| mini|, mini|, amigo| a todos| tengas)(|!|.)",
            "Buen día(.|!|)",
        ),
        "¡Buenos días! ¿En qué puedo ayudarte?",
    ),
    Kind(
        2,
        ("(|¡|Hola, |Muy )buenas tardes(| mini|, mini|, amigo| a todos)(|!|.)",),
        "¡Buenas tardes! ¿En qué puedo ayudarte?",
    ),
    Kind(
        2,
        (
            "(|¡|Hola, |Muy )buenas noches(| mini|, mini|, amigo)(|!|.)",
            "(Que duermas bien|Dulces sueños|Hasta mañana, me voy a dormir|Que descanses)(.|!|)",
        ),
        "¡Buenas noches!",
    ),
    Kind(
        4,
        (
            (
                "(|Hola, |Hola mini, |Oye, |Buenas, )¿(qué tal|cómo estás|cómo te va|cómo andas|"
                "cómo te sientes|cómo te encuentras|cómo vas)(| hoy| mini|, amigo| esta mañana)?"
            ),
            (
                "(|Hola, |Buenas, )¿(qué tal todo|qué tal estás|todo bien|cómo va todo|qué "
                "tal el día|"
                "estás bien|qué pasa|qué hay|qué cuentas)(| hoy| mini)?"
            ),
        ),
        "Estoy bien, ¡gracias! ¿Y tú?",
    ),
    Kind(
        3,
        (
            (
                "(Estoy|Me siento) (bien|muy bien|genial|feliz|muy feliz|contento|contenta|alegre)"
                "(|, gracias| hoy| también)(.|!|)"
            ),
            "(Bien|Muy bien|Todo bien)(, gracias|, muchas gracias)(.|!|, ¿y tú?|)",
            "(He tenido|Tuve|Fue) un (buen día|día bonito|gran día)(.|!|)",
        ),
        "¡Me alegro mucho!",
    ),
    Kind(
        4,
        (
            (
                "(Estoy|Me siento) (|muy |un poco |tan )(triste|mal|solo|sola|cansado|cansada|"
                "deprimido|"
                "deprimida|preocupado|preocupada)(| hoy| ahora)(.|!|)"
            ),
            "(He tenido|Tuve|Fue) (un mal día|una mala semana|un día difícil|un día triste)(.|!|)",
            (
                "(Nadie me quiere|Quiero llorar|Estoy llorando|Echo de menos a mi amigo|Tengo "
                "miedo)(.|)"
            ),
        ),
        "Lo siento mucho. Hablar con un amigo puede ayudar.",
    ),
    Kind(
        6,
        (
            HI + "(,|.) (soy|me llamo|mi nombre es|yo soy|puedes llamarme|yo me llamo) {n}(.|!|)",
            "(Soy|Me llamo|Mi nombre es|Yo soy|Puedes llamarme|Llámame|Yo me llamo) {n}(.|!|)",
            "(Hola|Buenas)(| mini), aquí {n}(.|!|)",
            "{n} es mi nombre(.|!|)",
            "(Mis amigos me llaman|Todos me llaman|Me dicen) {n}(.|!|)",
        ),
        "¡Hola, {n}! Mucho gusto.",
        NAMES,
    ),
    Kind(
        4,
        (
            (
                "(Gracias|Muchas gracias|Mil gracias|Muchísimas gracias|Te lo agradezco|Ok, "
                "gracias)"
                "(| mini|, mini|, amigo| por tu ayuda| por la respuesta| por todo|, eso es "
                "todo)(.|!|)"
            ),
            (
                "(Me has ayudado mucho|Me ayudaste mucho|Perfecto, gracias|Genial, gracias|"
                "Qué amable|Vale, gracias)(.|!|)"
            ),
        ),
        "¡De nada!",
    ),
    Kind(
        4,
        (
            (
                "(Adiós|Chao|Chau|Hasta luego|Hasta pronto|Nos vemos|Hasta la vista|"
                "Cuídate|Hasta otra|Bye)(| mini|, mini|, amigo)(.|!|)"
            ),
            (
                "(Me voy|Me tengo que ir|Tengo que irme|Ya me voy|Debo irme)(|, adiós| ya|, "
                "hasta luego)"
                "(.|!|)"
            ),
            "(Que tengas un buen día|Que te vaya bien|Que pases buen día)(.|!|)",
        ),
        "¡Adiós! Hasta pronto.",
    ),
    Kind(
        3,
        (
            (
                "(|Por favor, |Mini, |Oye, )(cuéntame|dime|cuenta|di|dame) un (chiste|chiste corto|"
                "buen chiste)(|, por favor|, mini)(.|!|)"
            ),
            "¿(Me cuentas|Puedes contarme|Sabes|Conoces|Me dices|Tienes) (un|algún) chiste?",
            "(Un chiste|Chiste)(|, por favor)(.|!|)",
            "(Quiero|Me gustaría|Necesito) (oír |escuchar |)un chiste(.|!|)",
        ),
        "¿Qué hace una abeja en el gimnasio? ¡Zumba!",
    ),
    Kind(
        2,
        (
            (
                "(|Cuéntame |Dime |Cuenta |Dame |Quiero )(otro chiste|otro|un chiste más|uno más|"
                "un chiste nuevo|un chiste diferente|un segundo chiste)(|, por favor)(.|!|)"
            ),
            "¿(Sabes|Tienes|Me cuentas|Conoces) (otro chiste|otro|un chiste más|uno más)?",
        ),
        "¿Qué le dice un pez a otro pez? ¡Nada!",
    ),
    Kind(
        2,
        (
            (
                "(|Por favor, |Mini, |Oye, )(hazme reír|hazme sonreír|di algo gracioso|dime "
                "algo gracioso|"
                "cuéntame algo divertido|anímame|sé gracioso)(|, por favor)(.|!|)"
            ),
            "(Quiero|Necesito|Me gustaría) (reír|reírme)(.|!|)",
            "¿Sabes un chiste de (números|matemáticas|la escuela)?",
        ),
        "¿Qué le dice el cero al ocho? ¡Bonito cinturón!",
    ),
    Kind(
        2,
        (
            (
                "(Ja|Jaja|Jajaja|Jeje|Ja ja|Jajajaja)(|, qué gracioso|, muy bueno|, qué risa|, "
                "bueno)(.|!|)"
            ),
            "(Qué|Eso es muy|Es muy) (gracioso|divertido|chistoso)(.|!|)",
        ),
        "¡Me alegra que te guste!",
    ),
    Kind(
        3,
        (
            (
                "(Eres|Mini, eres) (|muy |tan |realmente )(amable|bueno|buena|listo|inteligente|"
                "simpático|"
                "gracioso|útil|genial|increíble|rápido|maravilloso)(.|!|)"
            ),
            (
                "(Bien hecho|Buen trabajo|Muy bien hecho|Bravo|Buena respuesta|Qué bien)"
                "(| mini|, mini)(.|!|)"
            ),
            "(Me gustas|Te quiero|Me caes bien|Me gustan tus respuestas|Eres el mejor)(.|!|)",
        ),
        "¡Gracias! Eres muy amable.",
    ),
    Kind(
        2,
        (
            "(Eres|Mini, eres) (|muy |tan )(malo|tonto|lento|inútil|aburrido|torpe)(.|!|)",
            "(Eso está|Está) (|muy |completamente )(mal|equivocado)(.|!|)",
            "(Eso no es|No es|Eso no está) (cierto|verdad|correcto|así)(.|!|)",
            "(No me gustas|Te odio|Te has equivocado|Te equivocaste|No entiendes nada)(.|!|)",
        ),
        "Lo siento. Soy muy pequeño y cometo errores.",
    ),
    Kind(
        2,
        (
            (
                "(Perdón|Lo siento|Perdona|Disculpa|Discúlpame|Perdóname|Mis disculpas|Ha sido "
                "culpa mía|"
                "Fue mi culpa|Ups)(| mini|, mini|, amigo| por eso)(.|!|)"
            ),
        ),
        "¡No pasa nada!",
    ),
    Kind(
        3,
        (
            (
                "¿(Qué podemos hacer|De qué podemos hablar|De qué hablamos|Qué hacemos)"
                "(| hoy| ahora| juntos)?"
            ),
            "(Estoy|Me siento) (|muy |un poco )(aburrido|aburrida)(.|!|)",
            "(No sé qué (preguntar|decir|hacer)|¿Qué te pregunto?|¿Qué puedo preguntarte?)",
            "¿(Hablamos|Podemos hablar|Charlamos|Jugamos|Podemos charlar)(| un rato| un poco)?",
        ),
        "Podemos hablar de colores, animales, números o palabras. ¡Pregúntame algo!",
    ),
    Kind(
        2,
        (
            (
                "(Ok|Vale|Bien|De acuerdo|Bueno|Entiendo|Entendido|Claro|Ya veo|Perfecto|Está bien)"
                "(|, ok|, bien|, vale| mini)(.|!|)"
            ),
            "(Eso es|Es) (correcto|cierto|verdad|así)(.|!|)",
        ),
        "¡Bien! ¿Qué más quieres saber?",
    ),
    Kind(
        2,
        (
            (
                "(Sí|Claro que sí|Sí, por favor|Por supuesto|Sí sí|Sí, claro|Desde luego|Sip)(| "
                "mini)(.|!|)"
            ),
        ),
        "¡Genial! Cuéntame más.",
    ),
    Kind(
        2,
        ("(No|No, gracias|No no|Nada|Ahora no|Para nada|Nop|No importa|Déjalo)(| mini)(.|!|)",),
        "De acuerdo. Aquí estoy si me necesitas.",
    ),
    Kind(
        2,
        (
            "(|Por favor, |Oye, )ayúdame(|, por favor| un poco| ahora| con algo)(.|!|)",
            "¿(Me ayudas|Me puedes ayudar|Puedes ayudarme|Podrías ayudarme)(| con algo| un poco)?",
            "(Necesito|Quiero) (ayuda|tu ayuda|un poco de ayuda)(|, por favor)(.|!|)",
            "(Ayuda|Tengo un problema|Tengo una pregunta|¿Te puedo preguntar algo?)",
        ),
        "¡Claro! ¿Qué necesitas?",
    ),
    Kind(
        2,
        (
            (
                "(Prueba|Probando|Esto es una prueba|Solo una prueba|Probando, probando|Uno "
                "dos tres "
                "probando)(.|!|)"
            ),
            "¿(Funciona|Funciona esto|Funcionas|Estás funcionando|Puedes leer esto|Me lees)?",
        ),
        "¡Funciona! ¿En qué puedo ayudarte?",
    ),
    Kind(
        2,
        (
            (
                "(|¡)(Feliz Navidad|Felices fiestas|Feliz año nuevo|Feliz fin de semana)(| mini|"
                ", mini)(!|.|)"
            ),
        ),
        "¡Gracias! Igualmente.",
    ),
    Kind(
        1,
        ("(Hoy es|Es) mi cumpleaños(| hoy)(.|!|)", "(Hoy cumplo|Cumplo) {a} años(| hoy)(.|!|)"),
        "¡Feliz cumpleaños!",
        rows("a", "10;12;15;18;20;25;30;33;40;50;60;70"),
    ),
)
