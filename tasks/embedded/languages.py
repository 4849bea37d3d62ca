"""Sentences in seven languages, those of Multilingual LibriSpeech beside English.

As in `grammar.py`, sentences are templates filled from a lexicon: here one set of templates, and for
each language whole phrases of about two hundred words, so that articles, endings and cases are right.
"""

from __future__ import annotations

import numpy as np

TEMPLATES: tuple[tuple[float, str], ...] = (
    (3.0, "subject verb object"),
    (1.0, "subject verb object time"),
    (1.0, "subject verb object place"),
    (3.0, "question object"),
    (1.5, "command object"),
    (1.0, "object place"),
    (1.5, "number number number number"),
)
"""Weights and templates; each slot is filled from a language's phrases."""

_GERMAN = {
    "subject": "der alte bäcker, die junge ärztin, unser lehrer, meine schwester, der kleine junge, "
    "die frau, ein müder fischer, der könig, ihre großmutter, der gärtner, das mädchen, mein bruder, "
    "die nachbarin, der strenge richter, ein fremder, die köchin",
    "verb": "kauft, verkauft, sucht, findet, malt, bringt, verliert, öffnet, trägt, braucht, zeigt, "
    "vergisst, holt, wäscht, versteckt, sieht",
    "object": "das frische brot, einen roten apfel, die schwere kiste, den silbernen schlüssel, "
    "ein grünes buch, das alte fahrrad, die gelbe tasche, einen warmen mantel, den letzten brief, "
    "ein stück käse, die weiße tasse, das kleine boot, einen kurzen zettel, die blaue flasche, "
    "den hölzernen stuhl, etwas milch, zwei fische, ein paar schuhe, das schöne bild, die zeitung",
    "place": "auf dem markt, in der küche, am fluss, hinter der kirche, im wald, unter der brücke, "
    "vor dem bahnhof, neben dem fenster, in der schule, auf dem berg",
    "time": "am abend, heute morgen, jeden tag, am montag, nach dem essen, im sommer, um mitternacht, "
    "vor der arbeit, in der nacht, am freitag",
    "question": "siehst du, brauchst du, wer nimmt, warum kaufst du, wann holst du, kennst du, hast du, "
    "möchtest du",
    "command": "nimm, gib mir, such, hol, zeig uns, bring",
    "number": "null, eins, zwei, drei, vier, fünf, sechs, sieben, acht, neun, zehn, zwölf, zwanzig, hundert",
}
_DUTCH = {
    "subject": "de oude bakker, een jonge dokter, onze leraar, mijn zus, de kleine jongen, die vrouw, "
    "een moeie visser, de koning, haar grootmoeder, de tuinman, het meisje, mijn broer, de buurvrouw, "
    "de strenge rechter, een vreemde, zijn oom",
    "verb": "koopt, verkoopt, zoekt, vindt, schildert, brengt, verliest, opent, draagt, leent, toont, "
    "vergeet, haalt, wast, verstopt, ziet",
    "object": "het verse brood, een rode appel, de zware doos, de zilveren sleutel, een groen boek, "
    "de oude fiets, de gele tas, een warme jas, de laatste brief, een stuk kaas, het witte kopje, "
    "de kleine boot, een kort bericht, de blauwe fles, de houten stoel, wat melk, twee vissen, "
    "een paar schoenen, het mooie schilderij, de krant",
    "place": "op de markt, in de keuken, bij de rivier, achter de kerk, in het bos, onder de brug, "
    "voor het station, naast het raam, op school, in de tuin",
    "time": "vanavond, deze ochtend, elke dag, op maandag, na het eten, in de zomer, om middernacht, "
    "voor het werk, in de nacht, op vrijdag",
    "question": "zie je, heb je, wie neemt, waarom koop je, wanneer haal je, ken je, wil je, waar vind ik",
    "command": "neem, geef mij, zoek, haal, toon ons, breng",
    "number": "nul, een, twee, drie, vier, vijf, zes, zeven, acht, negen, tien, twaalf, twintig, honderd",
}
_FRENCH = {
    "subject": "le vieux boulanger, la jeune fille, notre professeur, ma sœur, le petit garçon, "
    "cette femme, un pêcheur fatigué, le roi, sa grand-mère, le jardinier, l'avocat, mon frère, "
    "la voisine, le juge sévère, un étranger, le cuisinier",
    "verb": "achète, vend, cherche, trouve, peint, apporte, perd, ouvre, porte, montre, oublie, lave, "
    "cache, voit, garde, choisit",
    "object": "le pain frais, une pomme rouge, la boîte lourde, la clé d'argent, un livre vert, "
    "le vieux vélo, le sac jaune, un manteau chaud, la dernière lettre, un morceau de fromage, "
    "la tasse blanche, le petit bateau, un message court, la bouteille bleue, la chaise en bois, du lait, "
    "deux poissons, une paire de chaussures, le beau tableau, le journal",
    "place": "au marché, dans la cuisine, près de la rivière, derrière l'église, dans la forêt, "
    "sous le pont, devant la gare, à côté de la fenêtre, à l'école, sur la montagne",
    "time": "ce soir, ce matin, chaque jour, le lundi, après le repas, en été, à minuit, "
    "avant le travail, pendant la nuit, vendredi prochain",
    "question": "où trouves-tu, qui prend, pourquoi veux-tu, quand achètes-tu, est-ce que tu vois, "
    "connais-tu, as-tu, qui cherche",
    "command": "prends, donne-moi, cherche, montre-nous, apporte, gardez",
    "number": "zéro, un, deux, trois, quatre, cinq, six, sept, huit, neuf, dix, douze, vingt, cent",
}
_SPANISH = {
    "subject": "el viejo panadero, la joven doctora, nuestro maestro, mi hermana, el niño pequeño, "
    "esta mujer, un pescador cansado, el rey, su abuela, el jardinero, la chica, mi hermano, la vecina, "
    "el juez severo, un extraño, el cocinero",
    "verb": "compra, vende, busca, encuentra, pinta, trae, pierde, abre, lleva, necesita, muestra, "
    "olvida, lava, esconde, ve, guarda",
    "object": "el pan fresco, una manzana roja, la caja pesada, la llave de plata, un libro verde, "
    "la vieja bicicleta, el bolso amarillo, un abrigo caliente, la última carta, un trozo de queso, "
    "la taza blanca, el barco pequeño, un mensaje corto, la botella azul, la silla de madera, "
    "un vaso de leche, dos peces, unos zapatos, el cuadro hermoso, el periódico",
    "place": "en el mercado, en la cocina, cerca del río, detrás de la iglesia, en el bosque, "
    "bajo el puente, delante de la estación, junto a la ventana, en la escuela, sobre la montaña",
    "time": "esta noche, por la mañana, cada día, el lunes, después de comer, en verano, a medianoche, "
    "antes del trabajo, por la tarde, el viernes",
    "question": "dónde está, quién tiene, por qué quieres, cuándo compras, puedes ver, conoces, "
    "has visto, quién busca",
    "command": "toma, dame, busca, enséñanos, trae, guarda",
    "number": "cero, uno, dos, tres, cuatro, cinco, seis, siete, ocho, nueve, diez, doce, veinte, cien",
}
_ITALIAN = {
    "subject": "il vecchio fornaio, la giovane dottoressa, il nostro maestro, mia sorella, "
    "il bambino piccolo, questa donna, un pescatore stanco, il re, sua nonna, il giardiniere, la ragazza, "
    "mio fratello, la vicina, il giudice severo, uno straniero, il cuoco",
    "verb": "compra, vende, cerca, trova, dipinge, porta, perde, apre, prende, mostra, dimentica, lava, "
    "nasconde, vede, sceglie, conserva",
    "object": "il pane fresco, una mela rossa, la scatola pesante, la chiave d'argento, un libro verde, "
    "la vecchia bicicletta, la borsa gialla, un cappotto caldo, l'ultima lettera, un pezzo di formaggio, "
    "la tazza bianca, la piccola barca, un messaggio breve, la bottiglia azzurra, la sedia di legno, "
    "un po' di latte, due pesci, un paio di scarpe, il bel quadro, il giornale",
    "place": "al mercato, in cucina, vicino al fiume, dietro la chiesa, nel bosco, sotto il ponte, "
    "davanti alla stazione, accanto alla finestra, a scuola, sulla montagna",
    "time": "questa sera, stamattina, ogni giorno, il lunedì, dopo il pranzo, d'estate, a mezzanotte, "
    "prima del lavoro, durante la notte, il venerdì",
    "question": "dov'è, chi ha, perché vuoi, quando compri, puoi vedere, conosci, hai visto, chi cerca",
    "command": "prendi, dammi, cerca, mostraci, porta, guarda",
    "number": "zero, uno, due, tre, quattro, cinque, sei, sette, otto, nove, dieci, dodici, venti, cento",
}
_PORTUGUESE = {
    "subject": "o velho padeiro, a jovem doutora, o nosso professor, minha irmã, o menino pequeno, "
    "esta mulher, um pescador cansado, o rei, sua avó, o jardineiro, a rapariga, meu irmão, a vizinha, "
    "o juiz severo, um estranho, o cozinheiro",
    "verb": "compra, vende, procura, encontra, pinta, traz, perde, abre, leva, precisa ver, mostra, "
    "esquece, lava, esconde, vê, guarda",
    "object": "o pão fresco, uma maçã vermelha, a caixa pesada, a chave de prata, um livro verde, "
    "a velha bicicleta, a bolsa amarela, um casaco quente, a última carta, um pedaço de queijo, "
    "a chávena branca, o barco pequeno, uma mensagem curta, a garrafa azul, a cadeira de madeira, "
    "um copo de leite, dois peixes, um par de sapatos, o quadro bonito, o jornal",
    "place": "no mercado, na cozinha, perto do rio, atrás da igreja, na floresta, debaixo da ponte, "
    "em frente da estação, ao lado da janela, na escola, sobre a montanha",
    "time": "esta noite, de manhã, todos os dias, na segunda-feira, depois do almoço, no verão, "
    "à meia-noite, antes do trabalho, durante a tarde, na sexta-feira",
    "question": "onde está, quem tem, porque queres, quando compras, podes ver, conheces, já viste, "
    "quem procura",
    "command": "toma, dá-me, procura, mostra-nos, traz, guarda",
    "number": "zero, um, dois, três, quatro, cinco, seis, sete, oito, nove, dez, doze, vinte, cem",
}
_POLISH = {
    "subject": "stary piekarz, młoda lekarka, nasz nauczyciel, moja siostra, mały chłopiec, ta kobieta, "
    "zmęczony rybak, król, jej babcia, ogrodnik, dziewczyna, mój brat, sąsiadka, surowy sędzia, "
    "ktoś obcy, kucharz",
    "verb": "kupuje, sprzedaje, znajduje, maluje, przynosi, gubi, otwiera, niesie, pokazuje, myje, chowa, "
    "widzi, bierze, ma, wybiera, oddaje",
    "object": "świeży chleb, czerwone jabłko, ciężką skrzynię, srebrny klucz, zieloną książkę, "
    "stary rower, żółtą torbę, ciepły płaszcz, ostatni list, kawałek sera, białą filiżankę, małą łódkę, "
    "krótką wiadomość, niebieską butelkę, drewniane krzesło, trochę mleka, dwie ryby, parę butów, "
    "piękny obraz, gazetę",
    "place": "na rynku, w kuchni, nad rzeką, za kościołem, w lesie, pod mostem, przed dworcem, obok okna, "
    "w szkole, na górze",
    "time": "wieczorem, dziś rano, każdego dnia, w poniedziałek, po obiedzie, latem, o północy, "
    "przed pracą, w nocy, w piątek",
    "question": "gdzie widzisz, kto ma, dlaczego chcesz, kiedy kupisz, czy znasz, czy masz, kto bierze, "
    "komu dajesz",
    "command": "weź, daj mi, znajdź, pokaż nam, przynieś, kup",
    "number": "zero, jeden, dwa, trzy, cztery, pięć, sześć, siedem, osiem, dziewięć, dziesięć, dwanaście, "
    "dwadzieścia, sto",
}

LANGUAGES: dict[str, dict[str, tuple[str, ...]]] = {
    code: {slot: tuple(phrases.split(", ")) for slot, phrases in lexicon.items()}
    for code, lexicon in (
        ("de", _GERMAN),
        ("nl", _DUTCH),
        ("fr", _FRENCH),
        ("es", _SPANISH),
        ("it", _ITALIAN),
        ("pt", _PORTUGUESE),
        ("pl", _POLISH),
    )
}
"""Phrases by language, as espeak-ng names it, and slot of a template."""


def foreign_sentences(count: int, language: str, rng: np.random.Generator) -> list[str]:
    """Draw different sentences of a language.

    Args:
        count: how many; each language has more than ten thousand.
        language: a key of `LANGUAGES`.
        rng: what they are drawn with.

    Returns:
        Sentences in lower case, no two alike.
    """
    lexicon = LANGUAGES[language]
    weights = np.array([weight for weight, _ in TEMPLATES])
    weights /= weights.sum()
    drawn: dict[str, None] = {}
    while len(drawn) < count:
        template = TEMPLATES[rng.choice(len(TEMPLATES), p=weights)][1]
        words = [_draw(lexicon[slot], rng) for slot in template.split()]
        drawn[" ".join(words)] = None
    return list(drawn)


def _draw(phrases: tuple[str, ...], rng: np.random.Generator) -> str:
    return phrases[rng.integers(len(phrases))]
