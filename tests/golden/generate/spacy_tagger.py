"""Golden case of kind spacy_tagger: a spaCy pipeline of a few kilobytes, and the words, tags and parts of speech that spaCy finds with it.

Rules of the tokenizer and the attribute ruler are made here; weights are random. Lines whose best label is not clearly ahead are left out.
Made with spacy 3.8.18, thinc 8.3.14.   Run:  python spacy_tagger.py OUT
"""
import argparse
import json
import random
import re
import shutil

import numpy
import spacy
from spacy.tokenizer import Tokenizer
from spacy.training import Example

from case_io import fresh_folder, provenance, write_case

SEED, WIDTH, DEPTH = 11, 8, 2
LEAST_LEAD = 1e-3
FEATURES = {"NORM": 60, "PREFIX": 30, "SUFFIX": 40, "SHAPE": 30, "SPACY": 7, "IS_SPACE": 5}
LABELS = ["JJ", "JJR", "NN", "NNP", "DT", "IN", "VB", "RB", "CD", ",", "_SP"]

PREFIX = r"""^\(|^\[|^"|^“|^'|^\$|^…|^\.\.+|^\+(?![0-9])|^[\u2190-\u21FF\U0001F600-\U0001F64F]"""
SUFFIX = r"""\)$|\]$|"$|”$|'$|,$|;$|\?$|!$|…$|\.\.+$|'s$|’s$|(?<=[0-9])%$|(?<=[0-9])(?:km|cm)$|(?<=[a-z])\.$|[\u2190-\u21FF\U0001F600-\U0001F64F]$"""
INFIX = r"""\.\.+|…|[\u2190-\u21FF]|(?<=[0-9])[+*^](?=[0-9-])|(?<=[^\W\d_]),(?=[^\W\d_])|(?<=[a-zA-Z])(?:-|–|--)(?=[a-zA-Z])"""
INFIX = INFIX.replace(r"[^\W\d_]", "[a-zA-Zäöü]")
TOKEN_MATCH = r"""#[\w]+$"""
URL_MATCH = r"""(?u)^(?:https?://)?\w+(?:\.\w+)*\.(?:com|org)(?:/\S*)?$"""
CASES = {
    "don't": [{"ORTH": "do"}, {"ORTH": "n't", "NORM": "not"}], "don’t": [{"ORTH": "do"}, {"ORTH": "n’t", "NORM": "not"}], "it's": [{"ORTH": "it"}, {"ORTH": "'s", "NORM": "is"}],
    "Mr.": [{"ORTH": "Mr.", "NORM": "Mister"}], "a.m.": [{"ORTH": "a.m."}], ":)": [{"ORTH": ":)"}], "C+": [{"ORTH": "C+"}], "'em": [{"ORTH": "'em", "NORM": "them"}],
    "(x)": [{"ORTH": "(x", "NORM": "ex"}, {"ORTH": ")"}], "w-w": [{"ORTH": "w-w", "NORM": "double"}], " ": [{"ORTH": " "}], "gonna": [{"ORTH": "gon", "NORM": "going"}, {"ORTH": "na", "NORM": "to"}],
}
NORMS = {"colour": "color", "Colour": "color", "grey": "gray", "thru": "through"}
PARTS = {"JJ": "ADJ", "JJR": "ADJ", "NN": "NOUN", "NNP": "PROPN", "DT": "DET", "IN": "ADP", "VB": "VERB", "RB": "ADV", ",": "PUNCT", "_SP": "SPACE"}
RULES = [
    *({"patterns": [[{"TAG": tag}]], "attrs": {"POS": part, "MORPH": "_"}} for tag, part in PARTS.items()),
    {"patterns": [[{"LOWER": {"REGEX": "^n[ou]t$"}}]], "attrs": {"LEMMA": "not"}},
    {"patterns": [[{"TAG": "JJ", "LOWER": {"IN": ["case", "number"]}}], [{"TAG": "NN", "LOWER": "red"}]], "attrs": {"POS": "X"}},
    {"patterns": [[{"TAG": {"NOT_IN": ["JJ", ""]}, "DEP": {"IN": ["aux"]}}]], "attrs": {"POS": "AUX"}},
    {"patterns": [[{"TAG": "DT", "DEP": {"NOT_IN": ["det", ""]}}]], "attrs": {"POS": "PRON"}},
    {"patterns": [[{"LOWER": "the"}, {"TAG": {"NOT_IN": ["JJ", "JJR"]}}]], "attrs": {"POS": "INTJ"}, "index": 1},
    {"patterns": [[{"LOWER": "a"}, {}, {"TAG": "NN"}]], "attrs": {"POS": "SYM"}, "index": -3},
    {"patterns": [[{"TAG": "_SP", "IS_SPACE": False}]], "attrs": {"POS": "X"}},
    {"patterns": [[{"IS_SPACE": True}]], "attrs": {"TAG": "_SP", "POS": "SPACE"}},
]
WORDS = ("a, the, The, red, green, case, number, mark, X, I, A, XX, ID, ADJ, _, __, colour, Colour, COLOUR, grey, thru, bench, cats, cat's, it's, don't, don’t, Mr., a.m., :), C+, (x), w-w, "
         "gonna, 'em, ’s, “, ”, \"so\", (so), [so], so?, so!, so., so..., ...so, so…, —, --, €, $5, 5%, 12km, 3cm, 3+4, 2^-1, +3, +x, x,y, dark-red, in–out, in--out, #tag, #täg, "
         "example.org, http://a.com/b?c, (example.com), a.b, Ärger, ärger,öl, ΣΑΣ, İ, ǅ, ², ①, ٣, ½, Ⅷ, 你好, привет, →, a→b, 😀, 😀😀, so😀, abcdefgh, ABCDEFGH, 12345678, aB3.x, " + "long" * 30).split(", ")
JOINTS = [" "] * 14 + ["  ", "\n", "\t", "\u00a0", " \n ", "", ", ", "-"]


def made_texts():
    draw = random.Random(SEED)
    texts = ["", " ", "   ", "\n", " red", "red ", "red  ", "a red  bench", ".", "'", "''", "(((red)))", "red'''", "(:)", "(:) :)", "a.m.,", "(a.m.)", "Mr.'s", "#a'b", "w-w w - w", "(don't)", "x(x)",
             "a red bench and a green cat", "The grey colour is in the red case", "a number, a mark and a red-green bench", "The cats don't thru the bench", "red green red green red",
             "It's a bench; the bench is red!", "A dark-red bench is on 12km of grey", "the \"green\" case (and a red mark)", "Mr. Red and a cat's green number"]
    for _ in range(120):
        words = [draw.choice(WORDS) for _ in range(draw.randint(1, 9))]
        texts.append("".join(word + draw.choice(JOINTS) for word in words))
    return texts


def tokenizer_of(nlp):
    return Tokenizer(nlp.vocab, rules=CASES, prefix_search=re.compile(PREFIX).search, suffix_search=re.compile(SUFFIX).search, infix_finditer=re.compile(INFIX).finditer,
                     token_match=re.compile(TOKEN_MATCH).match, url_match=re.compile(URL_MATCH).match)


def pipeline():
    nlp = spacy.blank("en")
    embed = {"@architectures": "spacy.MultiHashEmbed.v2", "width": WIDTH, "attrs": list(FEATURES), "rows": list(FEATURES.values()), "include_static_vectors": False}
    encode = {"@architectures": "spacy.MaxoutWindowEncoder.v2", "width": WIDTH, "depth": DEPTH, "window_size": 1, "maxout_pieces": 2}
    nlp.add_pipe("tok2vec", config={"model": {"@architectures": "spacy.Tok2Vec.v2", "embed": embed, "encode": encode}})
    listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": WIDTH, "upstream": "tok2vec"}
    tagger = nlp.add_pipe("tagger", config={"model": {"@architectures": "spacy.Tagger.v2", "tok2vec": listener}})
    for label in LABELS:
        tagger.add_label(label)
    ruler = nlp.add_pipe("attribute_ruler")
    examples = [Example.from_dict(nlp.make_doc("a red bench"), {"tags": ["DT", "JJ", "NN"]})]
    nlp.initialize(lambda: examples)
    ruler.clear()
    ruler.add_patterns(RULES)
    nlp.tokenizer = tokenizer_of(nlp)
    random_weights(nlp)
    nlp.vocab.lookups.add_table("lexeme_norm", NORMS)
    nlp.meta.update(name="golden_tiny", version="1.2.3")
    return nlp


def random_weights(nlp):
    draw = numpy.random.default_rng(SEED)
    scales = {"E": 0.5, "W": 0.4, "b": 0.3, "G": 0.2}
    for name in "tok2vec", "tagger":
        for node in nlp.get_pipe(name).model.walk():
            for parameter in node.param_names:
                shape = node.get_param(parameter).shape
                values = draw.normal(size=shape) * scales[parameter] * (2 if name == "tagger" else 1) + (parameter == "G")
                node.set_param(parameter, values.astype("float32"))


def lead(nlp, document):
    """How far the best label of any word is ahead of the second."""
    if not len(document):
        return 1.0
    vectors = nlp.get_pipe("tok2vec").predict([document])
    softmax = nlp.get_pipe("tagger").model.get_ref("softmax")
    scores = numpy.sort(vectors[0] @ softmax.get_param("W").T + softmax.get_param("b"), axis=1)
    return float((scores[:, -1] - scores[:, -2]).min())


def line_of(nlp, text):
    document = nlp(text)
    words = [[token.text, token.tag_, token.pos_, len(text[:token.idx].encode())] for token in document]
    return {"text": text, "words": words, "without_adjectives": " ".join(token.text for token in document if token.pos_ != "ADJ")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out")
    folder = fresh_folder(parser.parse_args().out, "spacy_tagger", "tiny")
    pipeline().to_disk(folder / "pipeline")
    nlp = spacy.load(folder / "pipeline")
    lines = [line_of(nlp, text) for text in made_texts() if lead(nlp, nlp(text)) > LEAST_LEAD]
    (folder / "cases.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name in "key2row", "vectors", "vectors.cfg", "strings.json":
        (folder / "pipeline/vocab" / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "pipeline/tok2vec/moves", ignore_errors=True)
    write_case(folder, config={"pipeline": "pipeline", "cases": "cases.jsonl", "name": "en_golden_tiny", "version": "1.2.3"}, tolerance={"exact": True},
               provenance=provenance(SEED, "spacy", "thinc", "numpy"), why="words, tags, parts of speech and the text without adjectives are those of spaCy with the same folder")


if __name__ == "__main__":
    main()
