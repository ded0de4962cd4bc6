"""(d) RotInstDisc, MoCo, SimCLR and BYOL, each with the same time, and KNN of each.

bash tests/benchmarks/gpu/call.sh methods.py [--minutes 9]
"""

from page import methods_table
from sitting import Call, Cells, accuracies
from weights import knn, trained

METHODS = ("rotinstdisc", "moco", "simclr", "byol")


def main() -> None:
    call = Call("methods", __doc__, minutes=9)
    for number, method in enumerate(METHODS):
        share = call.left() / (len(METHODS) - number)

        def measure(method: str = method, share: float = share) -> Cells:
            run = call.work / f"run-{method}"
            # beside the training: compiling twice, KNN
            found = trained(call, run, max(10.0, share - 60), method=method)
            return {**found, **accuracies(knn(call, run))}

        call.measure(method, measure, needs=60)
    call.finish(methods_table({"rows": call.rows}))


if __name__ == "__main__":
    main()
