from django.db import migrations, models


class Migration(migrations.Migration):
    """Texts that people read; no column and no row changes."""

    dependencies = [("leaderboard", "0006_score_unit")]

    operations = [
        migrations.AlterField(
            model_name="benchmark",
            name="is_public",
            field=models.BooleanField(default=True, help_text="Visible to everyone; otherwise to its teams only."),
        ),
        migrations.AlterField(
            model_name="benchmark",
            name="public_elsewhere",
            field=models.BooleanField(default=False, help_text="The annotations are public elsewhere."),
        ),
        migrations.AlterField(
            model_name="quota",
            name="kind",
            field=models.CharField(
                choices=[
                    ("day", "per day"),
                    ("total", "in total"),
                    ("running", "at once"),
                    ("rejects", "rejected files per day"),
                ],
                max_length=8,
            ),
        ),
    ]
