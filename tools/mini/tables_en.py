"""Tables of simple true facts in English."""

from __future__ import annotations

from mini.grammar import Row, rows

COLOURS = rows(
    "x be c",
    """the sky|is|blue; grass|is|green; blood|is|red; a banana|is|yellow; snow|is|white;
    milk|is|white; coal|is|black; a lemon|is|yellow; an orange|is|orange; a carrot|is|orange;
    a tomato|is|red; a strawberry|is|red; a cherry|is|red; a frog|is|green; a lime|is|green;
    a cucumber|is|green; spinach|is|green; broccoli|is|green; lettuce|is|green; peas|are|green;
    the sea|is|blue; chocolate|is|brown; coffee|is|brown; an elephant|is|gray; a crow|is|black;
    a panda|is|black and white; a zebra|is|black and white; a penguin|is|black and white;
    a flamingo|is|pink; a pig|is|pink; a polar bear|is|white; a swan|is|white; salt|is|white;
    sugar|is|white; flour|is|white; cotton|is|white; corn|is|yellow; a sunflower|is|yellow;
    a ruby|is|red; an emerald|is|green; a sapphire|is|blue; a pumpkin|is|orange;
    the night sky|is|black; Mars|is|red; a fire truck|is|red; a ladybug|is|red; a mouse|is|gray;
    leaves|are|green; clouds|are|white; a gorilla|is|black""",
)
OPPOSITES = rows(
    "x y",
    """hot|cold; big|small; tall|short; long|short; fast|slow; good|bad; happy|sad; day|night;
    up|down; left|right; open|closed; full|empty; hard|soft; heavy|light; light|dark; wet|dry;
    young|old; new|old; rich|poor; strong|weak; clean|dirty; early|late; easy|difficult;
    first|last; high|low; in|out; inside|outside; loud|quiet; love|hate; more|less; many|few;
    near|far; on|off; over|under; push|pull; safe|dangerous; same|different; sweet|bitter;
    thick|thin; true|false; wide|narrow; win|lose; yes|no; always|never; before|after;
    begin|end; beautiful|ugly; buy|sell; cheap|expensive; deep|shallow; enter|leave;
    everything|nothing; everybody|nobody; front|back; give|take; brave|cowardly; laugh|cry;
    life|death; war|peace; north|south; east|west; smooth|rough; sharp|blunt; smart|stupid;
    rude|polite; possible|impossible; visible|invisible; summer|winter; top|bottom; black|white;
    question|answer; remember|forget; arrive|depart; above|below; alive|dead; asleep|awake""",
)
ANIMALS = rows(
    "x s n k e h",
    """a dog|barks|4|mammal|meat|lives with people; a cat|meows|4|mammal|meat|lives with people;
    a cow|moos|4|mammal|grass|lives on a farm; a horse|neighs|4|mammal|grass|lives on a farm;
    a sheep|bleats|4|mammal|grass|lives on a farm; a pig|oinks|4|mammal|almost everything|lives on
    a farm; a goat|bleats|4|mammal|grass|lives on a farm; a donkey|brays|4|mammal|grass|lives on a
    farm; a hen|clucks|2|bird|grain|lives on a farm; a rooster|crows|2|bird|grain|lives on a farm;
    a duck|quacks|2|bird|plants and insects|lives near the water; a lion|roars|4|mammal|meat|lives
    in the savanna; a tiger|roars|4|mammal|meat|lives in the jungle; a wolf|howls|4|mammal|meat|
    lives in the forest; a bear|growls|4|mammal|fruit, fish and meat|lives in the forest;
    an elephant|trumpets|4|mammal|plants|lives in the savanna; a mouse|squeaks|4|mammal|seeds|lives
    in a hole; a frog|croaks|4|amphibian|insects|lives near the water; a snake|hisses|0|reptile|
    small animals|lives on the ground; an owl|hoots|2|bird|mice|lives in the forest; a pigeon|coos|
    2|bird|seeds|lives in the city; a bee|buzzes|6|insect|nectar|lives in a hive; a crow|caws|2|
    bird|almost everything|lives in trees; a monkey|screeches||mammal|fruit|lives in the jungle;
    a fly|buzzes|6|insect|rotten food|lives near people; a cricket|chirps|6|insect|plants|lives in
    the grass; a llama|hums|4|mammal|grass|lives in the Andes; a rabbit||4|mammal|grass|lives in a
    burrow; a shark||0|fish|other fish|lives in the sea; a salmon||0|fish|small fish|lives in
    rivers and the sea; a whale|sings|0|mammal|krill|lives in the sea; a dolphin|whistles|0|mammal|
    fish|lives in the sea; an eagle|screeches|2|bird|meat|lives in the mountains; a penguin||2|
    bird|fish|lives near the cold sea; an ant||6|insect|seeds and insects|lives in an anthill;
    a butterfly||6|insect|nectar|lives in the fields; a spider||8|arachnid|insects|lives in its
    web; a turtle||4|reptile|plants|lives near the water; a crocodile||4|reptile|meat|lives in
    rivers; a giraffe||4|mammal|leaves|lives in the savanna; a zebra||4|mammal|grass|lives in the
    savanna; a camel||4|mammal|plants|lives in the desert; a panda||4|mammal|bamboo|lives in the
    mountains; a kangaroo|||mammal|grass|lives in Australia; a bat||2|mammal|insects|lives in
    caves; a squirrel||4|mammal|nuts|lives in trees; a condor||2|bird|carrion|lives in the Andes""",
)
CAPITALS = rows(
    "x y",
    """Argentina|Buenos Aires; Bolivia|Sucre; Brazil|Brasilia; Canada|Ottawa; Chile|Santiago;
    Colombia|Bogota; Costa Rica|San Jose; Cuba|Havana; the Dominican Republic|Santo Domingo;
    Ecuador|Quito; El Salvador|San Salvador; Guatemala|Guatemala City; Haiti|Port-au-Prince;
    Honduras|Tegucigalpa; Jamaica|Kingston; Mexico|Mexico City; Nicaragua|Managua; Panama|Panama
    City; Paraguay|Asuncion; Peru|Lima; the United States|Washington; Uruguay|Montevideo;
    Venezuela|Caracas; Guyana|Georgetown; Suriname|Paramaribo; Belize|Belmopan; the Bahamas|Nassau;
    Barbados|Bridgetown; Trinidad and Tobago|Port of Spain; Antigua and Barbuda|Saint John's;
    Dominica|Roseau; Grenada|Saint George's; Saint Lucia|Castries; Saint Kitts and Nevis|
    Basseterre; Saint Vincent and the Grenadines|Kingstown; Spain|Madrid; Portugal|Lisbon;
    France|Paris; Germany|Berlin; Italy|Rome; the United Kingdom|London; Ireland|Dublin;
    the Netherlands|Amsterdam; Belgium|Brussels; Switzerland|Bern; Austria|Vienna; Poland|Warsaw;
    Greece|Athens; Sweden|Stockholm; Norway|Oslo; Denmark|Copenhagen; Finland|Helsinki; Russia|
    Moscow; Ukraine|Kyiv; Hungary|Budapest; the Czech Republic|Prague; Romania|Bucharest; Japan|
    Tokyo; China|Beijing; India|New Delhi; South Korea|Seoul; Thailand|Bangkok; Vietnam|Hanoi;
    the Philippines|Manila; Turkey|Ankara; Egypt|Cairo; Morocco|Rabat; Kenya|Nairobi; Nigeria|
    Abuja; Ethiopia|Addis Ababa; Senegal|Dakar; Australia|Canberra""",
)
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
ORDINALS = [
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
]
SEASONS = ["spring", "summer", "autumn", "winter"]
LETTERS = list("abcdefghijklmnopqrstuvwxyz")
NUMBERS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
]
PLURALS = rows(
    "x y",
    """dog|dogs; cat|cats; house|houses; book|books; tree|trees; child|children; man|men;
    woman|women; foot|feet; tooth|teeth; mouse|mice; goose|geese; person|people; city|cities;
    baby|babies; box|boxes; bus|buses; knife|knives; leaf|leaves; wolf|wolves; fish|fish;
    sheep|sheep; tomato|tomatoes; potato|potatoes; day|days; boy|boys; girl|girls; story|stories;
    glass|glasses; watch|watches; car|cars; flower|flowers; country|countries; life|lives;
    friend|friends; window|windows; ox|oxen; star|stars; brush|brushes; lady|ladies""",
)
PARTS = rows(
    "p x n",
    """seconds|a minute|60; minutes|an hour|60; hours|a day|24; days|a week|7; days|a year|365;
    months|a year|12; weeks|a year|52; years|a century|100; years|a decade|10; centimeters|a meter|
    100; meters|a kilometer|1000; grams|a kilogram|1000; eggs|a dozen|12; sides|a triangle|3;
    sides|a square|4; fingers|a hand|5; wheels|a car|4; wheels|a bicycle|2; wheels|a tricycle|3;
    letters|the English alphabet|26; colors|a rainbow|7; seasons|a year|4; planets|the solar
    system|8; strings|a guitar|6; players|a soccer team|11; days|a leap year|366; cents|a dollar|
    100; years|a millennium|1000; sides|a hexagon|6; sides|a pentagon|5; keys|a piano|88; minutes|
    half an hour|30; days|a weekend|2; months|half a year|6; millimeters|a centimeter|10""",
)
GENERAL = rows(
    "q a",
    """(What|Which) is the (largest|biggest) ocean?|The largest ocean is the Pacific.;
    (What|Which) is the (largest|biggest) planet(| in the solar system)?|The largest planet is
    Jupiter.; (What|Which) is the smallest planet?|The smallest planet is Mercury.; (What|Which) is
    the (highest|tallest) mountain(| in the world)?|The highest mountain is Everest.; Where does
    the sun rise?|The sun rises in the east.; Where does the sun set?|The sun sets in the west.;
    What do bees make?|Bees make honey.; What is ice(| made of)?|Ice is frozen water.; What do we
    (see|look) with?|We see with our eyes.; What do we hear with?|We hear with our ears.; What do
    we smell with?|We smell with the nose.; What planet do we live on?|We live on the Earth.;
    What is the (closest|nearest) star(| to the Earth)?|The closest star is the Sun.; What goes
    around the Earth?|The Moon goes around the Earth.; What does the Earth go around?|The Earth
    goes around the Sun.; (What|Which) is the (biggest|largest) animal(| in the world)?|The biggest
    animal is the blue whale.; (What|Which) is the tallest animal?|The tallest animal is the
    giraffe.; (What|Which) is the fastest (land animal|animal on land)?|The fastest land animal is
    the cheetah.; Where does milk come from?|Milk comes from cows.; Where do eggs come from?|Eggs
    come from hens.; Where does wool come from?|Wool comes from sheep.; What is bread made (of|
    from)?|Bread is made from flour.; What is cheese made (of|from)?|Cheese is made from milk.;
    What is wine made (of|from)?|Wine is made from grapes.; What is paper made (of|from)?|Paper is
    made from wood.; What is the baby of a dog called?|A baby dog is a puppy.; What is the baby of
    a cat called?|A baby cat is a kitten.; What is the baby of a cow called?|A baby cow is a calf.;
    (What|Which) season is the coldest?|Winter is the coldest season.; (What|Which) season is the
    hottest?|Summer is the hottest season.; What language do people speak in (Peru|Mexico|Chile)?|
    People speak Spanish there.; What language do people speak in Brazil?|People in Brazil speak
    Portuguese.; What language do people speak in France?|People in France speak French.; What
    color do you get (if you mix|mixing|from) blue and yellow?|Blue and yellow make green.; What
    color do you get (if you mix|mixing|from) red and yellow?|Red and yellow make orange.; What
    color do you get (if you mix|mixing|from) red and blue?|Red and blue make purple.; What do
    (cows|hens) give us?|They give us food.; What do plants need(| to grow)?|Plants need water and
    light.; At what temperature does water boil?|Water boils at 100 degrees Celsius.; At what
    temperature does water freeze?|Water freezes at 0 degrees Celsius.; (What|Which) day is
    Christmas?|Christmas is on December 25.; (What|Which) are the days of the weekend?|The weekend
    is Saturday and Sunday.; (What|Which) are the days of the week?|Monday, Tuesday, Wednesday,
    Thursday, Friday, Saturday and Sunday.; (What|Which) are the seasons(| of the year)?|Spring,
    summer, autumn and winter.; What do you call frozen water?|Frozen water is ice.""",
)
YES = rows(
    "q a",
    """Is the sun hot?|the sun is hot; Is fire hot?|fire is hot; Is ice cold?|ice is cold; Is snow
    cold?|snow is cold; Can (birds|a bird) fly?|birds can fly; Can (fish|a fish) swim?|fish can
    swim; Can a duck swim?|a duck can swim; Can a bat fly?|a bat can fly; Do cows eat grass?|cows
    eat grass; Do dogs bark?|dogs bark; Do cats meow?|cats meow; Do plants need water?|plants need
    water; Is sugar sweet?|sugar is sweet; Is honey sweet?|honey is sweet; Is an elephant big?|an
    elephant is big; Is an ant small?|an ant is small; Is the Earth round?|the Earth is round; Does
    the Earth go around the Sun?|the Earth goes around the Sun; Is water wet?|water is wet; Is a
    stone hard?|a stone is hard; Is an apple a fruit?|an apple is a fruit; Is a carrot a
    vegetable?|a carrot is a vegetable; Is the sun a star?|the sun is a star; Is Mars a planet?|
    Mars is a planet; Do bees make honey?|bees make honey; Do hens lay eggs?|hens lay eggs; Can a
    frog jump?|a frog can jump; Is a lemon sour?|a lemon is sour; Is a feather light?|a feather is
    light; Is winter cold?|winter is cold; Does wood float?|wood floats; Does a car have wheels?|a
    car has wheels""",
)
NO = rows(
    "q a",
    """Is the sun cold?|the sun is hot; Is fire cold?|fire is hot; Is ice hot?|ice is cold; Is snow
    hot?|snow is cold; Can (dogs|a dog) fly?|dogs cannot fly; Can (fish|a fish) (walk|fly)?|fish
    cannot do that; Can a cow fly?|a cow cannot fly; Can a snake walk?|a snake has no legs; Do
    lions eat grass?|lions eat meat; Do dogs meow?|dogs bark; Do cats bark?|cats meow; Do stones
    need water?|stones need nothing; Is sugar salty?|sugar is sweet; Is honey bitter?|honey is
    sweet; Is an elephant small?|an elephant is big; Is an ant big?|an ant is small; Is the Earth
    flat?|the Earth is round; Does the Sun go around the Earth?|the Earth goes around the Sun; Is
    water dry?|water is wet; Is a stone soft?|a stone is hard; Is an apple an animal?|an apple is a
    fruit; Is a carrot a fruit?|a carrot is a vegetable; Is the sun a planet?|the sun is a star; Is
    Mars a star?|Mars is a planet; Do flies make honey?|bees make honey; Do cows lay eggs?|cows do
    not lay eggs; Can a tree walk?|a tree cannot walk; Is a lemon sweet?|a lemon is sour; Is a
    feather heavy?|a feather is light; Is winter hot?|winter is cold; Does iron float?|iron sinks;
    Can (pigs|a pig) fly?|pigs cannot fly; Can a penguin fly?|a penguin cannot fly""",
)
CLASSES = ["mammal", "bird", "fish", "insect", "reptile"]


def article(noun: str) -> str:
    """The noun with "a" or "an"."""
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def wrong_colours() -> tuple[Row, ...]:
    """Each thing with colours that it doesn't have."""
    others = ("red", "blue", "green", "yellow", "pink", "purple")
    return tuple(row | {"w": other} for row in COLOURS for other in others if other != row["c"])


def classes(*, right: bool) -> tuple[Row, ...]:
    """Animals with classes (`w`) that they belong to, or not."""
    return tuple(
        row | {"k": article(row["k"]), "w": article(kind)}
        for row in ANIMALS
        for kind in CLASSES
        if (kind == row["k"]) == right
    )


def lengths() -> tuple[Row, ...]:
    """The days of each month; February's answer says both."""
    days = dict.fromkeys(("April", "June", "September", "November"), "30")
    days["February"] = "28 or 29"
    return tuple({"x": month, "n": days.get(month, "31")} for month in MONTHS)
