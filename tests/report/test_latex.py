"""The LaTeX table: balanced, escaped, and with the numbers of the report."""

import dataclasses
import re

import pytest

from dianet_ray.errors import InputError
from dianet_ray.report.latex import escaped, table, write_latex
from tests.support.reports import report_of
from tests.support.studies import make_study, repeated


def studies():
    study = make_study(n_subjects=8)
    champion = report_of(study).champion.number
    others = [make_study(n_subjects=8, signal=signal) for signal in (1.5, 2.0)]
    return {
        "plain": study,
        "of one configuration": make_study(n_configs=1),
        "with seeds": repeated(study, champion, others),
        "with one seed": repeated(study, champion, others[:1]),
    }


STUDIES = studies()


@pytest.mark.parametrize("name", STUDIES)
def test_every_row_has_a_cell_per_column_and_braces_are_balanced(name):
    report = report_of(STUDIES[name])
    text = table(report, report.champion)
    columns = re.search(r"begin\{tabular\}\{(l r*|lr*)\}", text).group(1)
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 4
    assert {row.count("&") + 1 for row in rows} == {len(columns)}
    plain = re.sub(r"\\[{}]", "", text)
    assert plain.count("{") == plain.count("}")
    for name in ("table", "tabular"):
        assert text.count(f"\\begin{{{name}}}") == text.count(f"\\end{{{name}}}") == 1
    # Outside the commands nothing is left that LaTeX would read as one.
    caption = re.search(r"caption\{(.*)\}", text).group(1)
    assert not re.search(r"(?<!\\)[%#&_]", caption)


def test_it_has_the_numbers_of_the_report():
    report = report_of(STUDIES["with seeds"])
    text, champion = table(report, report.champion), report.champion
    first = next(line for line in text.splitlines() if line.startswith("UF1"))
    assert f"{report.seeds.uf1.mean:.3f} \\pm {report.seeds.uf1.deviation:.3f}" in first
    for value in (champion.uf1, champion.corrected["uf1"].estimate, report.chance["uf1"].level):
        assert f" {value:.3f}" in first


def test_names_of_classes_are_printed_as_they_are():
    study = dataclasses.replace(
        STUDIES["plain"], classes=("50 % happy", "sad_1", "not {sure} & #2")
    )
    report = report_of(study)
    text = table(report, report.champion)
    assert r"50 \% happy, sad\_1, not \{sure\} \& \#2" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_b", r"a\_b"),
        ("^~\\", r"\textasciicircum{}\textasciitilde{}\textbackslash{}"),
        ("a<b>|c", r"a\textless{}b\textgreater{}\textbar{}c"),
        ("plain", "plain"),
    ],
)
def test_marks_of_latex_are_escaped(text, expected):
    assert escaped(text) == expected


def test_without_a_champion_there_is_no_table(tmp_path):
    report = report_of(dataclasses.replace(make_study(), trainings={}))
    with pytest.raises(InputError, match="--latex needs a complete configuration"):
        write_latex(report, tmp_path / "table.tex")
    assert not (tmp_path / "table.tex").exists()
