from typing import Any

from django.db import migrations, models


def millimetres(apps: Any, _: Any) -> None:
    """What was no fraction was a length in millimetres: there was no other metric."""
    apps.get_model("leaderboard", "Score").objects.filter(bounded=False).update(unit="mm")


class Migration(migrations.Migration):
    dependencies = [("leaderboard", "0005_annotations")]

    operations = [
        migrations.AddField(
            model_name="score",
            name="unit",
            field=models.CharField(blank=True, db_default="", default="", max_length=20),
        ),
        migrations.RunPython(millimetres, migrations.RunPython.noop),
    ]
