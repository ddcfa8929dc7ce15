"""What the service handed out is measured from its export as the service measures it itself."""

from pathlib import Path

import pandas as pd

from training.served import served_figures


def test_figures_are_of_what_was_checked_and_say_how_much_waits(tmp_path: Path) -> None:
    n = 200
    frame = pd.DataFrame(
        {
            "definition": "car_purchase", "version": 3, "customer_id": [f"c{i}" for i in range(n)],
            "probability": [0.2, 0.8] * (n // 2), "low": [0.1, 0.7] * (n // 2), "high": [0.3, 0.9] * (n // 2),
            "channel": "web", "stage": "",
            "happened": [None if i < 50 else i % 10 in (1, 3, 5, 7, 8) for i in range(n)],
        }
    )  # fmt: skip
    frame.astype({"happened": "boolean"}).to_parquet(tmp_path / "forecasts.parquet")
    found = served_figures(tmp_path / "forecasts.parquet")["car_purchase"]
    assert (found["waiting"], found["n"], found["happened"]) == (50, 150, 75)
    assert found["auc"] > 0.6
    assert found["by"]["stage"]["unknown"]["n"] == 150


def test_an_export_of_a_service_that_served_nothing_has_no_figures(tmp_path: Path) -> None:
    columns = ["definition", "version", "customer_id", "probability", "low", "high", "channel", "stage", "happened"]
    pd.DataFrame({name: [] for name in columns}).to_parquet(tmp_path / "forecasts.parquet")
    assert served_figures(tmp_path / "forecasts.parquet") == {}
