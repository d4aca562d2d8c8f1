"""Small talk in English: one answer for each intent."""

from __future__ import annotations

from mini.grammar import Kind, rows

NAMES = rows(
    "n",
    """Ana; Luis; Maria; Pedro; Rosa; Juan; Carmen; Jose; Lucia; Diego; Sofia; Carlos;
    Elena; Miguel;
    Laura; Pablo; Marta; Jorge; Julia; Andres; Paula; Daniel; Isabel; David; Clara; Mario; Sara;
    Raul; Nora; Hugo; Eva; Oscar; Irene; Ivan; Alba; Bruno; Lola; Felipe; Rita; Tomas; John; Mary;
    James; Emma; Robert; Olivia; Michael; Alice; William; Grace; Thomas; Anna; George; Lucy; Peter;
    Kate; Paul; Jane; Mark; Susan; Jack; Emily; Henry; Rachel; Sam; Molly; Ben; Lily; Adam; Zoe;
    Leo; Ruby; Max; Ella; Tom; Nina; Kim; Omar; Yuki; Wayra""",
)
HI = "(Hi|Hello|Hey|Hi there|Hello there|Hey there|Hiya|Good morning|Good evening)"

SMALL_TALK: tuple[Kind, ...] = (
    Kind(
        5,
        (
            (
                "(Hi|Hello|Hey|Hiya|Howdy|Yo|Greetings)(| there| mini| again| friend| you| "
                "everyone)(|!|.|!!)"
            ),
            "(Hi|Hello|Hey), (mini|friend|hello|hi)(|!|.)",
            "(Hello|Hi|Hey), (is|are) (anybody|anyone|you) (there|here)?",
            "(Hi|Hello), (I am new here|it's me|nice to meet you|nice to see you|I'm back)(|!|.)",
        ),
        "Hello! How can I help you?",
    ),
    Kind(
        2,
        ("(Good morning|Morning|A very good morning)(| to you)(| mini|, mini|, friend)(|!|.)",),
        "Good morning! How can I help you?",
    ),
    Kind(
        2,
        ("(Good afternoon)(| to you)(| mini|, mini|, friend)(|!|.)",),
        "Good afternoon! How can I help you?",
    ),
    Kind(
        2,
        ("(Good evening|Evening)(| to you)(| mini|, mini|, friend)(|!|.)",),
        "Good evening! How can I help you?",
    ),
    Kind(
        2,
        (
            (
                "(Good night|Goodnight|Night night|Sleep well|Sweet dreams)(| mini|, mini|, "
                "friend)(|!|.)"
            ),
        ),
        "Good night! Sleep well.",
    ),
    Kind(
        4,
        (
            (
                "(|Hi, |Hello, |Hey, |Hi mini, |Hello! )(how are you|how're you|how are you doing)"
                "(| today| this morning| now| my friend| mini)?"
            ),
            (
                "(|Hi, |Hey, |Hello, )(how's it going|how do you do|how is everything|how "
                "do you feel|"
                "how have you been|how is your day|are you ok|are you well|how's life|what's up)"
                "(| today| mini)?"
            ),
        ),
        "I am fine, thank you! And you?",
    ),
    Kind(
        3,
        (
            (
                "(I am|I'm|I feel) (fine|good|very well|great|well|ok|happy|very happy|so happy|"
                "excited|glad)(|, thanks|, thank you| today| too)(|!|.)"
            ),
            "(Fine|Good|Very well)(, thanks|, thank you)(|!|.|, and you?)",
            "(I had|I'm having|It was) a (good|great|nice|lovely|wonderful) day(|!|.)",
        ),
        "I am glad to hear that!",
    ),
    Kind(
        4,
        (
            (
                "(I am|I'm|I feel|I am feeling) (|so |very |a bit |really )(sad|down|lonely|"
                "unhappy|"
                "depressed|alone|tired|bad|worried|stressed|afraid)(| today| now)(|.|!)"
            ),
            "(I had|I'm having|It was) a (bad|terrible|hard|sad|difficult) (day|week)(|.|!)",
            "(Nobody loves me|I want to cry|I am crying|I miss my friend|My heart is broken)(|.)",
        ),
        "I am sorry to hear that. Talking with a friend can help.",
    ),
    Kind(
        6,
        (
            HI
            + "(,|!|.) (I am|I'm|my name is|my name's|this is|call me|you can call me) {n}(|.|!)",
            "(I am|I'm|My name is|My name's|Call me|You can call me|This is) {n}(|.|!)",
            "(Hi|Hello|Hey)(| mini), {n} here(|.|!)",
            "{n} is my name(|.|!)",
            "(People|My friends|They) call me {n}(|.|!)",
        ),
        "Hello {n}! Nice to meet you.",
        NAMES,
    ),
    Kind(
        4,
        (
            (
                "(Thanks|Thank you|Many thanks|Thank you so much|Thank you very much|Thanks a lot|"
                "Thx|Cheers|Thanks a million|Big thanks)(| mini|, mini|, friend| for your help|"
                " for the answer|, that helped|, that's all|, very kind)(|!|.)"
            ),
            (
                "(I appreciate it|That was very helpful|That helped me a lot|Perfect, thanks|"
                "Ok thanks|Ok, thank you)(|!|.)"
            ),
        ),
        "You are welcome!",
    ),
    Kind(
        4,
        (
            (
                "(Bye|Goodbye|Bye bye|See you|See you later|See you soon|See you tomorrow|"
                "Take care|"
                "Farewell|So long|Until next time|Have a nice day)(| mini|, mini|, friend)(|!|.)"
            ),
            (
                "(I have to go|I must go|I am leaving|I'm leaving|I'm off|Gotta go|Time to go)"
                "(|, bye| now|, goodbye|, see you)(|!|.)"
            ),
        ),
        "Goodbye! See you soon.",
    ),
    Kind(
        3,
        (
            (
                "(|Please |Can you |Could you |Will you |Mini, )(tell me|tell|say|give me) "
                "a (|short |"
                "good |nice )joke(|, please|, mini)(?|.|!)"
            ),
            "(Do you know|Have you got|Do you have) (a joke|any jokes|jokes|a good joke)?",
            "(A joke|Joke)(|, please)(|!|.)",
            "(I want|I'd like|I would like|I need) (a joke|to hear a joke)(|.|!)",
        ),
        "Why did the computer go to the doctor? It had a virus.",
    ),
    Kind(
        2,
        (
            (
                "(|Tell me |Give me |Say |Can you tell me )(another joke|one more joke|another one|"
                "a second joke|a different joke|a new joke)(|, please)(|!|.|?)"
            ),
            "(Do you know|Do you have) (another|one more|a different) joke?",
        ),
        "What do you call a bear with no teeth? A gummy bear.",
    ),
    Kind(
        2,
        (
            (
                "(|Please |Can you |Could you |Mini, )(make me laugh|make me smile|say "
                "something funny|"
                "tell me something funny|cheer me up|be funny)(|, please)(|!|.)"
            ),
            "(I want|I need|I'd like) to laugh(|.|!)",
            "(Tell me|Do you know) a joke about (numbers|math|school)(|.|?)",
        ),
        "Why was six afraid of seven? Because seven, eight, nine.",
    ),
    Kind(
        2,
        (
            "(Ha|Haha|Hahaha|Lol|Hehe|Ha ha|Haha,) (|that's funny|very funny|good one|nice)(|!|.)",
            "(That's|That is|That was) (|very |so |really )(funny|hilarious)(|!|.)",
        ),
        "I am glad you like it!",
    ),
    Kind(
        3,
        (
            (
                "(You are|You're|Mini, you are) (|so |very |really )(nice|great|good|smart|"
                "clever|kind|"
                "funny|cute|helpful|amazing|the best|awesome|fast|wonderful)(|!|.)"
            ),
            (
                "(Well done|Good job|Nice work|Good work|Great job|Bravo|Good answer|Nice)"
                "(| mini|, mini)(|!|.)"
            ),
            "(I like you|I love you|You did well|I like your answers|I like talking to you)(|!|.)",
        ),
        "Thank you! You are very kind.",
    ),
    Kind(
        2,
        (
            (
                "(You are|You're) (|so |very |really )(bad|stupid|dumb|slow|useless|wrong|"
                "silly|boring)"
                "(|!|.)"
            ),
            (
                "(That is|That's|That was|This is) (|very |completely )(wrong|not right|incorrect|"
                "false|not true|a mistake|a bad answer)(|!|.)"
            ),
            "(I don't like you|I hate you|You made a mistake|You don't understand)(|!|.)",
        ),
        "I am sorry. I am very small and I make mistakes.",
    ),
    Kind(
        2,
        (
            (
                "(Sorry|I'm sorry|I am sorry|My apologies|Excuse me|Pardon|My mistake|My bad|Oops)"
                "(| mini|, mini|, friend| about that)(|!|.)"
            ),
        ),
        "No problem!",
    ),
    Kind(
        3,
        (
            (
                "What (can|could|shall|should) we (do|talk about|speak about|chat about)(| "
                "today| now|"
                " together)?"
            ),
            "(I am|I'm) (|so |very )bored(|.|!)",
            "(I don't know what to (ask|say|do)|What should I ask you|What can I ask(| you))(|?|.)",
            "(Let's|Can we|Shall we) (talk|chat|play|do something)(|.|?)",
        ),
        "We can talk about colors, animals, numbers or words. Ask me something!",
    ),
    Kind(
        2,
        (
            (
                "(Ok|Okay|Alright|All right|Fine|Sure|Right|I see|Got it|Understood|Good|"
                "Cool|Great)"
                "(|, ok|, good| then| mini)(|!|.)"
            ),
            "(That's|That is) (ok|fine|right|correct|true|good)(|!|.)",
        ),
        "Good! What else would you like to know?",
    ),
    Kind(
        2,
        (
            (
                "(Yes|Yeah|Yep|Yes, please|Of course|Sure, yes|Yes yes|Yes, I do|Certainly)(| "
                "mini)(|!|.)"
            ),
        ),
        "Great! Tell me more.",
    ),
    Kind(
        2,
        (
            (
                "(No|Nope|No, thanks|No, thank you|Not really|No no|Not now|Nothing|Never "
                "mind)(| mini)(|!|.)"
            ),
        ),
        "All right. I am here if you need me.",
    ),
    Kind(
        2,
        (
            (
                "(|Can you |Could you |Please |Will you )help me(|, please| a bit| now| "
                "with something)"
                "(?|!|.)"
            ),
            "(I need|I want|I'd like) (|some |your |a little )help(|, please)(|!|.)",
            "(Help|I have a problem|I have a question|Can I ask you something)(|!|.|?)",
        ),
        "Of course! What do you need?",
    ),
    Kind(
        2,
        (
            (
                "(Test|Testing|Test test|This is a test|Just a test|Testing, testing|One two "
                "three test|"
                "Check)(|!|.)"
            ),
            "(Does this work|Are you working|Do you work|Can you hear me|Can you read this)?",
        ),
        "It works! How can I help you?",
    ),
    Kind(
        2,
        (
            "(Merry|Happy) (Christmas|holidays)(| mini|, mini|, friend)(|!|.)",
            "Happy (New Year|Easter|weekend|Monday|Friday)(| mini|, mini)(|!|.)",
        ),
        "Thank you! The same to you.",
    ),
    Kind(
        1,
        (
            "(It's|It is|Today is) my birthday(| today)(|!|.)",
            "(I turn|I'm turning) {a} today(|!|.)",
        ),
        "Happy birthday!",
        rows("a", "10;12;15;18;20;25;30;33;40;50;60;70"),
    ),
)
