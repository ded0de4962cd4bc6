"""Which cells a request needs, and what settings come to."""

import dataclasses

import pytest

from dermssl import DermsslError
from dermssl.data.prepare import prepare
from dermssl.evaluation.recipes import RECIPES
from dermssl.methods.registry import METHODS
from dermssl.paper.budget import open_budget, resolve
from dermssl.paper.numbers import FIGURES, ROWS, TABLES
from dermssl.paper.plan import make_plan, refuse_empty
from dermssl.paper.settings import Request, Settings, make_request
from dermssl.paper.work import few_epochs
from dermssl.pretraining.config import make_config

FULL = Settings(queue_size=8192, epochs=200, batch_size=128)


def kinds(plan, kind):
    return [cell.subject for cell in plan.cells.values() if cell.kind == kind]


def test_cells_shared_between_tables_are_there_once():
    plan = make_plan(make_request(None, None, None), FULL, images=10015, known=ROWS)
    assert sorted(kinds(plan, "pretrain")) == sorted(
        ["rotation", "byol", "moco", "simclr", "pirl", "rotinstdisc"]
        + [f"rotinstdisc-lambda-{weight}" for weight in ("0", "0.5", "1", "5", "10")]
        + [f"rotinstdisc-queue-{size}" for size in (128, 512, 1024, 2048, 4096, 16384)]
    )
    shared = [row.subject for table in plan.tables for row in table.rows if row.printed.accuracy in (74.55, 74.95)]
    assert shared.count("rotinstdisc") == 4  # Tables 1, 3, 4 (lambda 0.1) and 5 (K 8192)
    assert plan.cells["pretrain/rotinstdisc"].options["rotation_weight"] == 0.1
    assert plan.cells["pretrain/rotinstdisc-lambda-0"].options["rotation_weight"] == 0
    assert plan.cells["pretrain/rotinstdisc-queue-512"].options["queue_size"] == 512
    for name in ROWS:
        assert {f"knn/{name}", f"finetune/{name}", f"frozen/{name}", f"tsne/{name}", f"few/{name}-0.01"} <= {
            *plan.cells
        }
    for cell in plan.cells.values():
        assert set(cell.needs) <= set(plan.cells)


@pytest.mark.parametrize("methods", [None, ["rotinstdisc"], ["random", "rotinstdisc"], ["moco", "rotation"]])
@pytest.mark.parametrize(
    ("tables", "figures"), [*(([number], None) for number in range(1, 6)), (None, [4]), (None, [6])]
)
def test_any_part_by_itself_has_all_that_it_needs(methods, tables, figures):
    plan = make_plan(make_request(methods, tables, figures), FULL, images=10015, known=METHODS)
    for cell in plan.cells.values():
        assert set(cell.needs) <= set(plan.cells)
    if tables in ([4], [5]) and methods == ["random", "rotinstdisc"]:
        assert kinds(plan, "difference")  # to random weights, which are no row there


def absent(images, **settings):
    settings = dataclasses.replace(FULL, **settings)
    plan = make_plan(make_request(None, [5], None), settings, images=images, known=ROWS)
    return {cell.subject: cell.absent for cell in plan.cells.values() if cell.absent}


def test_a_queue_may_be_longer_than_the_images_but_not_than_the_run():
    assert absent(10015) == {}  # K = 16,384, as the paper has it
    assert absent(300, epochs=70) == {}
    assert absent(300, epochs=50) == {
        "rotinstdisc-queue-16384": "a queue of 16384 is never full, as a run makes 12800 keys"  # 50 epochs of 2 x 128
    }


def test_a_method_that_is_not_there_says_so():
    plan = make_plan(make_request(["random", "byol"], [1], None), FULL, images=10015, known=["rotinstdisc"])
    assert plan.cells["pretrain/byol"].absent == "this version of dermssl has no method byol"


def test_only_what_is_asked_for():
    plan = make_plan(make_request(["rotinstdisc", "random"], [1], None), FULL, images=100000, known=METHODS)
    assert list(plan.cells) == [
        "knn/random", "pretrain/rotinstdisc", "knn/rotinstdisc", "difference/knn-rotinstdisc-minus-random"
    ]  # fmt: skip
    assert make_request(None, None, [5]).tables == ()
    assert make_request(None, [2, 1], None).tables == (1, 2)
    assert make_request(None, [1], None).figures == ()


@pytest.mark.parametrize("method", ROWS)
@pytest.mark.parametrize(
    ("tables", "figures"), [*(((number,), ()) for number in TABLES), *(((), (number,)) for number in FIGURES)]
)
def test_what_plans_nothing_is_refused(method, tables, figures):
    request = Request((method,), tables, figures)
    if make_plan(request, FULL, images=100000, known=METHODS).cells:
        refuse_empty(request)
        return
    with pytest.raises(DermsslError, match=f"--methods {method}: .*{'Table' if tables else 'Figure'} [3-6] needs "):
        refuse_empty(request)


def test_the_refusal_names_each_part_and_what_it_needs():
    with pytest.raises(DermsslError) as refused:
        refuse_empty(make_request(["moco", "byol"], [3, 4], [6]))
    assert str(refused.value) == (
        "--methods byol,moco: none of them is in what is asked for; Table 3 needs rotation or rotinstdisc, "
        "Table 4 needs rotinstdisc, Figure 6 needs random or rotation or rotinstdisc"
    )
    refuse_empty(make_request(["moco"], [1, 4], None))  # a part that has the row is enough


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["mocov3"], None, None), "--methods mocov3: unknown; use one or more of random, imagenet"),
        (([], None, None), "--methods"),
        ((None, [6], None), "--tables 6: unknown"),
        ((None, None, [1]), "--figures 1: unknown"),
    ],
)
def test_unknown_rows_and_tables_are_refused(arguments, message):
    with pytest.raises(DermsslError, match=message):
        make_request(*arguments)


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"folds": 1}, {"split": "x"}, {"k": 0}, {"epochs": 1.5}, {"few_labels": "no"}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(DermsslError, match="--" + next(iter(wrong)).replace("_", "-")):
        Settings(**wrong)


@pytest.mark.parametrize(
    ("asked", "images", "expected"),
    [
        ({}, 10015, {"queue_size": 8192, "k": 100, "batch_size": 128, "epochs": 200, "finetune_epochs": None}),
        ({"epochs": 5}, 64, {"queue_size": 64, "k": 16, "batch_size": 64, "finetune_epochs": 5}),
        ({"limit": 100}, 100, {"queue_size": 64, "k": 25, "batch_size": 100, "eval_limit": 100}),
        ({"epochs": 5, "finetune_epochs": 7, "k": 3}, 100, {"finetune_epochs": 7, "k": 3}),
        ({"recipe": "paper"}, 10015, {"batch_size": 512, "finetune_epochs": None}),
    ],
)
def test_open_settings_follow_the_images(asked, images, expected):
    settings = Settings(**asked)
    config = make_config(**settings.pretraining())
    resolved = resolve(settings, config, 64, images=images, eval_images=images, device="cpu")
    assert {name: getattr(resolved, name) for name in expected} == expected


def test_a_queue_asked_for_may_be_longer_than_the_images():
    resolved = resolve(Settings(queue_size=512), make_config(), 64, images=64, eval_images=64, device="cpu")
    assert resolved.queue_size == 512


def test_few_labels_get_enough_steps_but_no_more_than_all_labels():
    recipe = RECIPES["default"]
    assert few_epochs(recipe, 20, 8012, 0.01) == 200  # 2 steps each: 400, as the recipe itself
    assert few_epochs(recipe, 20, 8012, 0.1) == 31  # 13 steps each
    assert few_epochs(recipe, 1, 8012, 0.01) == 63  # 126 steps at most
    assert few_epochs(recipe, 1, 50, 0.01) == 1


def test_evaluations_are_framed_as_the_runs_on_a_prepared_cache(images, tmp_path):
    cache = prepare(images, tmp_path / "cache", size=36, fit="crop", progress=False)
    (tmp_path / "out").mkdir()
    settings = Settings(backbone="test_resnet", image_size=32, epochs=1)
    budget = open_budget(settings, cache.path, images, tmp_path / "out", device="cpu", progress=False)
    assert budget.labelled.fit == budget.labelled.views.fit == "crop"
