"""What people may send from a page, parsed and checked for form; the operations decide whether it is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator, URLValidator
from django.db.models import QuerySet
from django.utils import timezone

from evaluator import dataset_names, load_dataset
from leaderboard.boards.runnable import Runnable
from leaderboard.models import ApiToken, Benchmark, Method, Team
from leaderboard.models.addresses import split_validator, validate_slug_is_free

https_only = URLValidator(schemes=["https"], message="Enter a URL that begins with https://.")
printable = RegexValidator(
    r"^[^\x00-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]*$", "Remove control characters."
)


class MethodForm(forms.Form):
    """What a team says of its method."""

    name = forms.CharField(max_length=80, validators=[printable], label="Method name")
    authors = forms.CharField(max_length=200, required=False, validators=[printable], help_text="Example: Wei et al.")
    year = forms.IntegerField(min_value=1970, max_value=2100, required=False, label="Year")
    paper_title = forms.CharField(max_length=250, required=False, validators=[printable], label="Paper title")
    paper_url = forms.CharField(
        max_length=300, required=False, validators=[https_only], label="Paper", help_text="https only."
    )
    code_url = forms.CharField(
        max_length=300, required=False, validators=[https_only], label="Code", help_text="https only."
    )
    approach = forms.ChoiceField(choices=Method.Approach.choices, required=False)
    backbone = forms.CharField(max_length=80, required=False, validators=[printable])
    input_size = forms.CharField(
        max_length=40, required=False, validators=[printable], label="Input size", help_text="Example: 256 × 192."
    )
    parameters = forms.IntegerField(
        min_value=0, max_value=10**13, required=False, help_text="A whole number, not in millions."
    )
    gflops = forms.FloatField(
        min_value=0, max_value=1e9, required=False, label="GFLOPs", help_text="Per person or image."
    )
    extra_data = forms.CharField(
        max_length=200,
        required=False,
        validators=[printable],
        label="Extra training data",
        help_text="“None”, or the name of the data.",
    )
    description = forms.CharField(max_length=4000, required=False, widget=forms.Textarea(attrs={"rows": 4}))

    def __init__(self, *args: Any, method: Method | None = None, **kwargs: Any) -> None:
        if method is not None:
            kwargs.setdefault("initial", {name: getattr(method, name) for name in self.base_fields})
        super().__init__(*args, **kwargs)

    def fields_for_operation(self) -> dict[str, Any]:
        """The method's fields without its name."""
        return {name: self.cleaned_data[name] for name in MethodForm.base_fields if name != "name"}


class SubmitForm(forms.Form):
    """A predictions file for a method, an earlier one or a new one."""

    file = forms.FileField(
        label="Predictions file",
        widget=forms.FileInput(attrs={"accept": ".json,.gz,.zip,application/json,application/gzip,application/zip"}),
    )
    team = forms.ModelChoiceField(queryset=Team.objects.none(), empty_label=None)
    method = forms.CharField(
        max_length=80, validators=[printable], widget=forms.TextInput(attrs={"list": "methods", "autocomplete": "off"}),
        help_text="Choose an earlier method, or name a new one.",
    )  # fmt: skip
    paper_url = forms.CharField(
        max_length=300,
        required=False,
        validators=[https_only],
        label="Paper",
        widget=forms.TextInput(attrs={"placeholder": "https://"}),
    )
    code_url = forms.CharField(
        max_length=300,
        required=False,
        validators=[https_only],
        label="Code",
        widget=forms.TextInput(attrs={"placeholder": "https://"}),
    )
    approach = forms.ChoiceField(choices=Method.Approach.choices, required=False)
    extra_data = forms.CharField(
        max_length=200,
        required=False,
        validators=[printable],
        label="Extra training data",
        widget=forms.TextInput(attrs={"placeholder": "“None”, or the name of the data"}),
    )
    visibility = forms.ChoiceField(
        choices=[("private", "Private"), ("publish", "Publish when scored")],
        initial="private",
        widget=forms.RadioSelect,
    )
    # what the page said of the benchmark's policy: nobody agrees to one that changed after the page was read
    publishes_all = forms.CharField(max_length=1, required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, teams: QuerySet[Team], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        team = self.fields["team"]
        assert isinstance(team, forms.ModelChoiceField)
        team.queryset = teams

    def clean_method(self) -> str:
        name = " ".join(self.cleaned_data["method"].split())
        if not name:
            raise ValidationError("Name the method.")
        return name

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > settings.UPLOAD_LIMIT:
            raise ValidationError(
                f"The file is larger than {settings.UPLOAD_LIMIT >> 20} MiB. Compress it as .json.gz or .zip."
            )
        return file

    def stated(self) -> dict[str, Any]:
        """The fields of the method that were filled in: an empty one does not erase what was said earlier."""
        names = ("paper_url", "code_url", "approach", "extra_data")
        return {name: self.cleaned_data[name] for name in names if self.cleaned_data.get(name)}


EXPIRIES = [("30", "In 30 days"), ("90", "In 90 days"), ("365", "In a year"), ("", "Never")]


class TokenForm(forms.Form):
    """A new API token."""

    name = forms.CharField(
        max_length=80, validators=[printable], help_text="Where you will use it, for example the lab’s CI."
    )
    scopes = forms.MultipleChoiceField(
        choices=ApiToken.Scope.choices,
        initial=[ApiToken.Scope.READ, ApiToken.Scope.SUBMIT],
        widget=forms.CheckboxSelectMultiple,
    )
    expires = forms.ChoiceField(choices=EXPIRIES, initial="90", required=False)

    def expires_at(self) -> Any:
        days = self.cleaned_data["expires"]
        return timezone.now() + timedelta(days=int(days)) if days else None


class NewBenchmarkForm(forms.Form):
    """A benchmark from one of the dataset definitions."""

    dataset = forms.ChoiceField()
    split = forms.CharField(
        max_length=40, validators=[split_validator], help_text="For example test. One benchmark per dataset and split."
    )
    slug = forms.SlugField(
        max_length=60,
        label="Address",
        help_text="Lower-case letters, digits and dashes, for example lsp-test-pc. Cannot be changed later.",
    )
    title = forms.CharField(max_length=120, validators=[printable])
    summary = forms.CharField(
        max_length=300, required=False, validators=[printable], help_text="One line under the title."
    )
    hidden = forms.BooleanField(
        required=False, initial=True, label="The annotations are hidden", help_text="Participants do not have them."
    )
    public_elsewhere = forms.BooleanField(
        required=False,
        label="The annotations are public elsewhere",
        help_text="The board shows a badge.",
    )
    boxes_given = forms.BooleanField(
        required=False, label="Provide people’s boxes", help_text="Boxes are added to the public image list."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        dataset = self.fields["dataset"]
        assert isinstance(dataset, forms.ChoiceField)
        dataset.choices = [(name, load_dataset(name).title) for name in dataset_names()]

    def clean_slug(self) -> str:
        slug = self.cleaned_data["slug"].lower()
        validate_slug_is_free(slug)
        if Benchmark.objects.filter(slug=slug).exists():
            raise ValidationError("Another benchmark has this address. Choose a different one.")
        return slug

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if Benchmark.objects.filter(dataset=data.get("dataset"), split=data.get("split")).exists():
            self.add_error("split", "A benchmark of this dataset and split already exists.")
        return data


class BenchmarkForm(forms.ModelForm):
    """What an organiser may change later: texts, limits, dates, what happens to scored submissions."""

    class Meta:
        model = Benchmark
        fields = (
            "title", "summary", "daily_limit", "total_limit", "running_limit", "reject_limit", "opens_at", "closes_at",
            "is_public", "publishes_all", "public_elsewhere",
        )  # fmt: skip
        labels = {
            "daily_limit": "Submissions per team per day",
            "total_limit": "Submissions per team in total",
            "running_limit": "Submissions per team at once",
            "reject_limit": "Rejected files per team per day",
            "opens_at": "Opens (UTC)",
            "closes_at": "Closes (UTC)",
            "is_public": "Visible to everyone",
            "publishes_all": "Publish every submission when it is scored",
            "public_elsewhere": "The annotations are public elsewhere",
        }
        help_texts = {
            "is_public": "Otherwise only its teams and organisers see it. Making it public shows its rows to everyone.",
            "publishes_all": "For new submissions only. Earlier private ones stay private.",
            "public_elsewhere": "The board shows a badge.",
        }
        widgets = {
            name: forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
            for name in ("opens_at", "closes_at")
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("title", "summary"):
            self.fields[name].validators.append(printable)
        # the page sends along what it showed: a field that nobody touched is not written over what changed since
        for name, field in self.fields.items():
            field.show_hidden_initial = not self.is_bound or self.add_initial_prefix(name) in self.data

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("opens_at") and data.get("closes_at") and data["opens_at"] >= data["closes_at"]:
            self.add_error("closes_at", "The closing date must be after the opening date.")
        return data


class ImportForm(forms.Form):
    """An annotation file in the one JSON form, perhaps compressed."""

    file = forms.FileField(
        label="Annotation file",
        widget=forms.FileInput(attrs={"accept": ".json,.gz,.zip,application/json,application/gzip,application/zip"}),
    )


class BaselineForm(forms.Form):
    """Which reference model to run, or all of them; with `accepts_boxes`, a file of people's boxes as well."""

    choice = forms.ChoiceField(label="Model")
    boxes = forms.FileField(
        required=False,
        label="Box file",
        widget=forms.FileInput(attrs={"accept": ".json,application/json"}),
        help_text="Detections in COCO format. If empty: the benchmark’s boxes, or a person detector’s if it has none.",
    )

    def __init__(self, *args: Any, weights: Sequence[Runnable], accepts_boxes: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.can_run = {each.key: each for each in weights if not each.why_not}
        model = self.fields["choice"]
        assert isinstance(model, forms.ChoiceField)
        model.choices = [(key, each.title) for key, each in self.can_run.items()]
        if not accepts_boxes:
            del self.fields["boxes"]

    def clean_choice(self) -> Runnable:
        return self.can_run[self.cleaned_data["choice"]]
