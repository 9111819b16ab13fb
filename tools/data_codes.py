"""What each DATA code means, in words that hold wherever the code is raised; tools/reference.py writes the page.

A row is the code, what is wrong or was seen, and what to do.
"""

from __future__ import annotations

FAULTS = (
    ("DATA-001", "there is no such file, or it is a device or a pipe", "check the path"),
    ("DATA-002", "this kind of file is not read", "convert it to csv, tsv, jsonl, parquet or xlsx"),
    (
        "DATA-003",
        "not UTF-8: a text file, of which the encoding that it looks like is named; a single line; the row "
        "of a Parquet file or of data from Python",
        "`--encoding cp1252` (or the one named); write the line again",
    ),
    ("DATA-004", "there are no rows", "give rows"),
    ("DATA-005", "broken quoting in a csv", 'close the quote; a quote inside a quoted text is `""`'),
    (
        "DATA-006",
        "a column name is missing or occurs twice, or the first row looks like data",
        "a first row that names every column, each differently",
    ),
    (
        "DATA-007",
        "a row has more or fewer cells than there are columns",
        "quote texts that hold the separator; in a tsv, take tabs and line breaks out",
    ),
    (
        "DATA-008",
        "a line is not a JSON object, has a key twice, holds NaN, Infinity or a number of thousands of digits, or "
        "nests more than 100 deep; a record of Label Studio is not as it writes them",
        "one object a line",
    ),
    ("DATA-009", "not a readable Parquet file", "write it again"),
    ("DATA-010", "a Hub data set cannot be read", "only Parquet, CSV and JSON are; scripts are never run"),
    ("DATA-011", "a folder, a Hub data set or a mapping has no split called train", "name the files yourself"),
    (
        "DATA-013",
        "a row without text or target, or whose target cannot be read: 2 in a column of 0 and 1, a list in a "
        "list, `3,5` or `12%` as a number; or with a NUL byte or half a character in it; or a text of more than 5 "
        "million characters",
        "fix the row; how the cell is to be written is said with it",
    ),
    (
        "DATA-014",
        "a label that training lacks; the closest one is named",
        "fix the row, or `data.on_unseen_label=drop`",
    ),
    (
        "DATA-020",
        "labels are fractions, or lists of them",
        "`--task regression` for a number; `--label-kind class` if each is a class",
    ),
    (
        "DATA-021",
        "the column holds something else than the task that was named needs: lists, objects, words, true and "
        "false, class names",
        "the right `--task`, or the right column",
    ),
    (
        "DATA-022",
        "fewer than two labels, no number, or one number in all rows",
        "rows of another label or number, or the right `--label-column`",
    ),
    ("DATA-023", "so many labels that they look like ids or texts", "the right `--label-column`"),
    ("DATA-024", "there is no such column", "the closest name and all names are listed"),
    (
        "DATA-025",
        "it is not clear which column is meant",
        "`--text-column`, `--label-column`; or the separator is wrong",
    ),
    ("DATA-026", "one column is both text and label, or is named twice", "name two"),
    (
        "DATA-027",
        "the text column holds lists of words: a token task; or objects, whose fields are named",
        "join the words into one text; `--text-column review.body`",
    ),
    ("DATA-028", "`evaluate --by`: there is no such column", "the names are listed"),
    ("DATA-029", "the text column holds numbers, or it is called id and holds no words", "`--text-column`"),
    (
        "DATA-030",
        "a split is empty, perhaps after duplicates were dropped",
        "give more rows; the notes say what was dropped",
    ),
    ("DATA-031", "duplicates, with `data.on_duplicate: error`", "remove them, or `drop`"),
    ("DATA-032", "no training example has this label", "a few rows of each; or more `data.train_examples`"),
    (
        "DATA-033",
        "labels that look the same, differ only by case, spaces or quotes, or are the same number",
        "write one of them everywhere, or `data.on_alike_label=merge`; invisible characters are shown by name",
    ),
    (
        "DATA-034",
        "a label has a single training example; a misspelling is guessed at",
        "fix it, add rows, or `data.on_rare_label=drop`",
    ),
    (
        "DATA-035",
        "`--task classification` of more than 20 different whole numbers, without names",
        "it looks like a quantity: `--task regression`; `--label-kind class` if each is a class",
    ),
    (
        "DATA-036",
        "`--task classification`, and a tenth of the rows or more have labels such as `a|b`; or the stated "
        "`data.label_separator` is not the one between labels",
        "`--task multi_label`, or the right `data.label_separator`; `--label-kind class` if each combination "
        "is a class",
    ),
    (
        "DATA-037",
        "several labels a text, and a label has a `|` in it",
        "write it without: labels are joined by it in files of answers",
    ),
    (
        "DATA-038",
        "numbers that are so large beside their differences that fp32 cannot tell them apart, or so small "
        "that it knows only 0",
        "subtract the mean from all, or divide",
    ),
    (
        "DATA-044",
        "a text (or one of a pair) without tokens: the model's tokenizer drops all its characters",
        "fix the row, or another model",
    ),
    (
        "DATA-051",
        "the labels of a classifier that was trained elsewhere are not the file's",
        "rename the file's labels, or write their names into `id2label` in the model's config.json",
    ),
    ("DATA-060", "a line holds a NUL byte", "remove it: `tr -d '\\000' < FILE`"),
    ("DATA-061", "a byte order mark inside a file", "files were joined: remove it, and the column names there"),
    (
        "DATA-062",
        "another format under this name: Excel, zip, gzip, HTML, Parquet, a Git LFS pointer",
        "unpack, export or fetch it",
    ),
    (
        "DATA-063",
        "no file matches a pattern, or a folder holds no data files",
        "check it; quote a pattern on the command line",
    ),
    ("DATA-064", "files that are read as one have different columns", "give them the same columns"),
    ("DATA-065", "files that are read as one carry different label names", "write them with the same ones"),
    (
        "DATA-066",
        "a Hub data set has several configurations, or not this one",
        "`--set data.name=...`; the names are listed",
    ),
    (
        "DATA-067",
        "data from Python that cannot be read, or no longer exists; a cell there that is not a text or label",
        "pass one of the forms listed above; convert the cell",
    ),
    ("DATA-068", "more than 1,000 different keys in a jsonl file, or 20,000 columns", "the same keys in each line"),
    (
        "DATA-069",
        "one column whose name holds a mark that may separate columns, while the rows below do not",
        '`--separator ";"` if it does',
    ),
    ("DATA-070", "the column names occur again inside the file", "files were joined: remove that row"),
    ("DATA-071", "reading stopped after 10,000 faults", "fix what is listed; then the rest is shown"),
    (
        "DATA-072",
        "a tsv whose column names are in double quotes: it was written like a csv, and cells of a tsv are literal",
        "write it without quotes, or with commas as .csv",
    ),
    (
        "DATA-073",
        "files that would be read as one have the names of different splits, or a split's file is of a kind "
        "that is not read",
        "name each file: `--train`, `--validation`, `--test`",
    ),
    (
        "DATA-074",
        "a file unpacks to more than 8 GB, or to more than 64 MB and 200 times its size: gzip, .xlsx, Parquet",
        "unpack it yourself if that is right",
    ),
    ("DATA-075", "a packed file cannot be unpacked: it is cut off, or not gzip", "fetch it again, or rename it"),
    (
        "DATA-076",
        "`predict --output`: what such files cannot hold: a tab in a tsv, a very long text in an xlsx",
        "another kind of file",
    ),
    ("DATA-077", "an .xlsx file, and the package that reads it is not installed", "`pip install 'openpyxl>=3.1'`"),
    ("DATA-078", "not a readable Excel workbook", "save it again"),
    ("DATA-079", "a .json file of more than 1 GB or a tenth of the free memory", "one object a line, as .jsonl"),
    ("DATA-080", "a title stands above the column names", "`--header-row 4`, or the row that is named"),
    ("DATA-081", "`--sheet`: the workbook has no such sheet with rows", "the names are listed"),
    ("DATA-082", "`--decimal comma`, and a number such as 3.5", "leave it out, or write all numbers alike"),
    (
        "DATA-083",
        "files read as one: one has Prodigy's answers on one label, another has other labels",
        "put all answers into one file; those that reject a label are then left out",
    ),
    ("DATA-084", "`--sheet`, `--header-row` or `--column-names` for a kind of data that has none", "leave it out"),
    ("DATA-085", "labels of a cell joined by another mark than in training", "the same mark, or `--label-separator`"),
    ("DATA-086", "a line of more than 32 million characters", "write a row a line"),
)

WARNINGS = (
    ("DATA-101", "texts that repeat an earlier one in training or validation", "they are dropped"),
    (
        "DATA-102",
        "one text with several labels in training or validation",
        "they are dropped; decide which label is right",
    ),
    ("DATA-103", "texts that occur in two splits", "they are dropped from the earlier split"),
    ("DATA-104", "labels with fewer than 8 training examples", "add rows"),
    (
        "DATA-105",
        "the largest class is more than 3 times the smallest",
        "`training.class_weights=auto`; look at macro F1",
    ),
    ("DATA-106", "validation or test lacks a label", "add rows of it: nothing is measured on it"),
    (
        "DATA-107",
        "`--task classification`, and labels such as `a|b` beside `a` and `b`, in less than a tenth of the rows",
        "each combination is a class of its own; `--task multi_label` reads them as several",
    ),
    ("DATA-108", "texts with HTML tags", "strip them, unless the texts to classify have them too"),
    ("DATA-109", "texts of one character", "is this the right column?"),
    (
        "DATA-110",
        "texts of more than 20,000 characters",
        "a model reads the first part only, unless `data.long_texts` is `windows`",
    ),
    ("DATA-111", "all texts of a split are the same", "is this the right column?"),
    ("DATA-112", "texts that repeat an earlier one in test", "they are kept, and count as often as they occur"),
    ("DATA-113", "one text with several labels in test", "it is kept; no classifier can get all of them right"),
    (
        "DATA-114",
        "a quoted text of a csv holds lines that read as rows of their own",
        'write a quote at the beginning of a text as `"""`',
    ),
    (
        "DATA-115",
        'cells of a tsv in quotes with `""` inside, or a column all in quotes: they are read literally',
        "write it without quoting, or with commas as .csv",
    ),
    (
        "DATA-116",
        "labels or texts such as nan, NA, null",
        "programs write these for missing values: `data.on_missing=drop_words`",
    ),
    ("DATA-118", "every training text has this label", "leave it out: there is nothing to learn"),
    ("DATA-119", "a number far from all others, such as -999", "leave the row out if it means a missing one"),
    ("DATA-120", "a number with three different values or fewer", "`--task classification` if each is a class"),
    ("DATA-121", "numbers of validation or test beyond those of training", "check that both have one unit"),
    (
        "DATA-122",
        "texts with characters as HTML writes them: `&amp;`, `&#39;`",
        "turn them into characters, unless the texts to classify have them too",
    ),
)
