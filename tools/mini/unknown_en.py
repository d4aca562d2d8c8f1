"""Questions in English that mini is too small for, by what its honest answer is."""

from __future__ import annotations

from mini.grammar import Kind

WHO = (
    "(Napoleon|Cleopatra|Albert Einstein|Isaac Newton|Bolivar|Shakespeare|Mozart|Picasso|Gandhi|"
    "Julius Caesar|Marie Curie|Beethoven|Frida Kahlo|Cervantes|Darwin|Lincoln|Plato|Atahualpa|"
    "Galileo|Churchill|Messi|Shakira|the last emperor|the inventor of radio)"
)
EVENT = (
    "(the French Revolution|World War II|the Cold War|the Roman Empire|the Inca Empire|the Aztecs|"
    "the Middle Ages|the moon landing|the Black Death|the Industrial Revolution|ancient Egypt|"
    "the fall of Constantinople|the Spanish Civil War|the independence of Mexico|the Vikings)"
)
TOPIC = (
    "(quantum mechanics|relativity|inflation|black holes|photosynthesis|democracy|existentialism|"
    "blockchain|DNA|evolution|entropy|the stock market|neural networks|calculus|climate change|"
    "plate tectonics|game theory|the immune system|nuclear fusion|string theory|capitalism|"
    "chess openings|Buddhism|opera|the nervous system|cryptography|electric motors|vaccines)"
)
ILL = (
    "(a headache|a fever|back pain|a cough|the flu|diabetes|a rash|insomnia|an infection|asthma|"
    "high blood pressure|stomach pain|a cold|an allergy|a broken arm|anxiety|a toothache)"
)
CODE = (
    "(sorts a list|reverses a string|reads a file|downloads a page|finds primes|parses JSON|"
    "plays tic tac toe|sends an email|draws a graph|counts words|solves a maze|is a web server)"
)
LANG = "(Python|Java|C|C++|Rust|Go|JavaScript|SQL|Bash|Ruby|Haskell|PHP)"
PLACE = (
    "(Lima|Madrid|London|Tokyo|New York|Paris|Cusco|Berlin|my city|Rome|Chicago|Mexico City|Quito|"
    "Moscow|Bogota)"
)
THEME = (
    "(a dragon|a lost dog|the sea|two friends|a robot|love|a pirate|the war|a princess|autumn|"
    "a detective|space travel|my grandmother|a haunted house|a magic tree|freedom)"
)
DISH = "(paella|lasagna|ceviche|sushi|pizza|curry|a chocolate cake|ramen|tacos|apple pie|gazpacho)"
LAND = "(France|Peru|Japan|Brazil|Egypt|India|Spain|Canada|China|Kenya|Italy|Chile|Germany|Mexico)"

KINDS: tuple[Kind, ...] = (
    Kind(
        8,
        (
            f"(Who was|Who is|What do you know about) {WHO}?",
            f"Tell me (about|the life of|who was) {WHO}.",
            f"(When was {WHO} born|When did {WHO} die|Where was {WHO} born|What did {WHO} do)?",
            f"(What caused|Who saw|What do you know about) {EVENT}?",
            f"(What happened in|What is the history of|How long ago was) {EVENT}?",
            (
                f"(What happened|Who was king|Who won the World Cup|Who ruled {LAND}) in (1066|"
                f"1492|1532|"
                "1789|1821|1914|1945|1969|1986|1998|2010|1750|1605|1888)?"
            ),
            f"(Explain|Describe|Teach me|Summarize) {TOPIC}(| to me| in detail| simply).",
            (
                f"(What exactly is|How do people understand|Who discovered|What is the use of) "
                f"{TOPIC}?"
            ),
            (
                f"(Who is the (president|prime minister|richest person)|What is the population|"
                f"What is the area|What is the currency|What is the history|What is the "
                f"economy) of {LAND}?"
            ),
            (
                "(Who should I vote for|Which party is best|Is the government good|Who will "
                "win the "
                "election|What do you think of politics|Is there a god|What is the meaning "
                "of life)?"
            ),
            (
                "(Who wrote|Who painted|Who directed|What is the plot of|Who sings) (Don "
                "Quixote|Hamlet|"
                "the Mona Lisa|Titanic|the Odyssey|Star Wars|Guernica|Thriller|Imagine|War "
                "and Peace)?"
            ),
            f"How (do I|can I|do you|should I) (cook|make|prepare|bake) {DISH}?",
            (
                "How (do|can) I (repair|fix|build|change|clean) (my car|a bicycle|a washing "
                "machine|"
                "a flat tire|my phone|a boat|a roof|a printer|a house|the sink)?"
            ),
            (
                "(What is|Calculate|Find) the (integral|derivative|square root|cosine|"
                "logarithm) of "
                "(x squared|sin x|2|17|e to the x|945|a polynomial|3x + 2)?"
            ),
            (
                "How (do|can) I (invest money|write a contract|get a visa|pay less tax|"
                "start a company|"
                "buy a house|find a job|learn the piano|win at chess|get rich)?"
            ),
            f"How (far|long|many kilometers) is it from {PLACE} to {PLACE}?",
            (
                "(What is the chemical formula|What is the atomic number|What is the "
                "melting point) of "
                "(iron|gold|salt|sugar|uranium|alcohol|oxygen|lead|helium|aspirin|copper)?"
            ),
        ),
        "I am too small to know that. Try a larger model with `ayllu run llama3.2`.",
    ),
    Kind(
        3,
        (
            (
                f"(What can I take for|How do I cure|What helps against|What is the treatment "
                f"for) {ILL}?"
            ),
            f"(I have|My son has|My mother has|My friend has) {ILL}(, what should I do?|, help|.)",
            f"(What are the symptoms|What is the cause|What are the causes) of {ILL}?",
            (
                "(Can I take|Is it safe to take|When should I take|May a child take) (aspirin|"
                "ibuprofen|"
                "antibiotics|vitamin C|paracetamol|insulin)(| every day| with wine)?"
            ),
            "(Am I|Is my child|Could I be) (sick|ill|pregnant|too fat|too thin)?",
            (
                "(My chest hurts|My leg hurts|I feel dizzy|I can't sleep|My stomach hurts)"
                "(, what do I do?|, what is it?|.)"
            ),
        ),
        "I am too small to help with health. Please ask a doctor.",
    ),
    Kind(
        4,
        (
            (
                f"(Write|Give me|Show me|Can you write) a {LANG} (program|function|script) that "
                f"{CODE}."
            ),
            f"How (do|can|would) I (write|make) a {LANG} (program|function|script) that {CODE}?",
            (
                f"(Why does my {LANG} code fail|Fix my {LANG} code|Debug this {LANG} program|"
                f"Explain this {LANG} code|What is a class in {LANG}|Teach me {LANG})(|, please)."
            ),
            (
                f"(Write|Tell me|Compose|Can you write|Invent) a (|long |short |beautiful |funny )"
                f"(story|poem|song|essay|novel|tale|play) about {THEME}."
            ),
            (
                f"(Write|Draft) (a letter|an email|a speech|a report|an article|a post) (about|"
                f"on) {THEME}."
            ),
            f"(I want|I need|I'd like) a (long |)(story|poem|essay|song) about {THEME}.",
            (
                "(Summarize|Translate|Correct|Improve|Rewrite) (this article|this book|my essay|"
                "this text|my letter|this page|my CV|a whole chapter)(|, please| for me)."
            ),
            (
                "(Plan|Organize) (my trip|a party|a wedding|my week|a diet|a budget)(| for me|, "
                "please)."
            ),
        ),
        "I am too small to write that. Try a larger model with `ayllu run llama3.2`.",
    ),
    Kind(
        4,
        (
            (
                f"(What is the weather|What's the weather like|How is the weather|What is the "
                f"temperature)"
                f" in {PLACE}(| today| now| tomorrow)?"
            ),
            f"(Will it|Is it going to) (rain|snow|be sunny|be hot) in {PLACE}(| today| tomorrow)?",
            (
                "(What time is it|What's the time|What day is it today|What is the date|What "
                "year is it|"
                f"What is today's date)(| in {PLACE})?"
            ),
            (
                "(What is the news|What's new in the world|What happened today|Who won the match|"
                "What are the headlines|Who won yesterday|What is on TV tonight)(| in Spain| in "
                "sports|)?"
            ),
            (
                "(What is the price|How much is the price|What is the value) of (gold|bitcoin|oil|"
                "a dollar|Apple stock|a ticket to Rome|bread)(| today| now)?"
            ),
            (
                f"(Where is|What is) the (nearest|best) (restaurant|hotel|bank|hospital|shop) "
                f"in {PLACE}?"
            ),
            (
                f"(When does the (bus|train|plane) leave|Are there flights|Is there traffic) in "
                f"{PLACE}?"
            ),
        ),
        "I am offline, so I cannot know that.",
    ),
    Kind(
        2,
        (
            (
                "(What am I (thinking|wearing|holding|eating)|Where did I put my (keys|phone|"
                "glasses|bag))?"
            ),
            (
                "(How old am I|Where do I live|When is my birthday|What is my job|What did I "
                "eat today)?"
            ),
            (
                "(What color is|Where is|How old is|What is the name of|Who is) my (car|cat|"
                "dog|house|"
                "brother|sister|boss|school|friend|bike|door|teacher)?"
            ),
            (
                "(What will happen|Will I be rich|Will I find love|What will I do|Will I be happy) "
                "(tomorrow|next year|one day|this week|in the future)?"
            ),
        ),
        "I cannot know that. I only see what you write here.",
    ),
)
