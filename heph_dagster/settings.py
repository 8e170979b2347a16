"""Settings: environment variables `HEPH_*`, over `heph.toml` in the data folder, over defaults."""

from __future__ import annotations

import os
import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from heph_dagster.access import Access
from heph_dagster.gibs.catalogue import Catalogue, Layer, load_catalogue
from heph_dagster.gibs.gdal_documents import GIBS_URL
from heph_dagster.storage.bucket import Bucket, is_bucket

if TYPE_CHECKING:
    from heph_dagster.alerts.alert import Channel
    from heph_dagster.gibs.client import GibsClient

SETTINGS_FILE = "heph.toml"
_FOLDER = Path("data")
CATALOGUE_FILE = "layers.toml"
MLFLOW_STORE = "mlflow.db"
INSAR = "hephaestus"
"""Folder of a data root for InSAR data."""
_ADDRESS = r"^https?://\S+$"
_SHA256 = r"^[0-9a-f]{64}$"
_MAILS = r"^[\x21-\x2b\x2d-\x7e]+@[\x21-\x2b\x2d-\x7e]+(, *[\x21-\x2b\x2d-\x7e]+@[\x21-\x2b\x2d-\x7e]+)*$"
_MAIL_SERVER = r"^smtps?://([^\s/@]+@)?[^\s/@:]+(:[0-9]{1,4}|:[1-5][0-9]{4})?/?$"


class ActiveLayer(NamedTuple):
    """A layer in one projection, for which assets are made."""

    layer: Layer
    epsg: int


class Settings(BaseSettings):
    """What an installation is told.

    Attributes:
        data_dir: Root of everything that is stored: a folder, or a bucket, `s3://<bucket>/<prefix>`.
        work_dir: Where the data root is a bucket, the folder of this machine for what is no bucket's: `heph.toml`,
            records of Dagster and MLflow, InSAR archives, copies of what is worked on.
        layers: Layers that get assets, as `<layer>` or `epsg<code>/<layer>`.
        level: Level at which days are downloaded; 2 is 2560 x 1280 px in EPSG:4326.
        gibs_url: Address of GIBS or of a local server.
        endpoint: `best`, `std` (science quality only) or `nrt` (near real time only).
        connections: Requests in flight at once; GIBS asks for no more than 500.
        proxy: Address of a proxy; HTTP_PROXY, HTTPS_PROXY and NO_PROXY hold without it.
        ca_bundle: PEM file of certificate authorities, where the network has its own.
        contact: Mail address or page that servers find in the User-Agent.
        insar_annotations_url: Address of the archive of annotations.
        insar_raw_url: Address of the archive of raw interferograms.
        insar_crops_url: Address of the archive of published crops.
        insar_annotations_sha256: Its digest, to be compared; likewise of the others.
        insar_raw_sha256: See there.
        insar_crops_sha256: See there.
        insar_annotations: Folder, zip or tar of annotation files; by default, `hephaestus/annotations` of the data
            folder, or what was downloaded. Of the work folder, where the data root is a bucket.
        insar_raw: Folder of the raw interferograms; `hephaestus/raw` there by default.
        dask: Address of the dask scheduler whose workers label days; threads of the run do without it.
        automation: Whether sensors and schedules are on by default; each can be switched in the UI.
        watch_from: First day that the sensors of new days want; by default the newest `recheck_days` at their first
            look.
        look_seconds: Seconds between two looks for new days.
        recheck_days: How many of a layer's newest days are asked for again every `recheck_hours`, since NASA replaces
            them.
        recheck_hours: See there.
        daily_hour: Hour, in UTC, at which schedules run.
        chunk_days: Most days of a run; longer ranges are several.
        retrain: Learners that are trained anew each week.
        alert_area_km2: Area of unexpected missing data from which on a day is told of.
        alert_webhook: Address that alerts are posted to; a secret.
        alert_webhook_format: `json` or `slack`; by default `slack` at Slack's address, else `json`.
        alert_email: Addresses that get alerts, separated by commas.
        alert_smtp: The mail server, `smtp://user:password@host:port` or `smtps://...`; a secret.
        dagster_url: Address of the Dagster UI, for links.
    """

    # A wrong value is not repeated in the error: it may be a secret, also under a name that was spelt wrongly.
    model_config = SettingsConfigDict(env_prefix="HEPH_", extra="forbid", hide_input_in_errors=True)

    data_dir: Annotated[Bucket | Path, NoDecode] = _FOLDER
    work_dir: Path | None = None
    layers: Annotated[tuple[str, ...], NoDecode] = (
        "VIIRS_SNPP_CorrectedReflectance_TrueColor",
        "MODIS_Terra_CorrectedReflectance_TrueColor",
        "MODIS_Terra_Data_No_Data",
    )
    level: int = Field(default=2, ge=0, le=12)
    gibs_url: str = Field(default=GIBS_URL, pattern=_ADDRESS)
    endpoint: Literal["best", "std", "nrt"] = "best"
    connections: int = Field(default=10, ge=1, le=500)
    proxy: str | None = Field(default=None, pattern=_ADDRESS)
    ca_bundle: Path | None = None
    contact: str | None = Field(default=None, pattern=r"^[\x21-\x7e]+$")
    insar_annotations_url: str = Field(
        default="https://www.dropbox.com/s/i08mz5514gczksz/annotations_hephaestus.zip?dl=1", pattern=_ADDRESS
    )
    insar_raw_url: str = Field(
        default="https://www.dropbox.com/s/uhyr4gefregqvdx/Hephaestus_Raw.zip?dl=1", pattern=_ADDRESS
    )
    insar_crops_url: str = Field(
        default="https://www.dropbox.com/s/2bkpj79jepk0vks/Hephaestus_Classification.zip?dl=1", pattern=_ADDRESS
    )
    insar_annotations_sha256: str | None = Field(default=None, pattern=_SHA256)
    insar_raw_sha256: str | None = Field(default=None, pattern=_SHA256)
    insar_crops_sha256: str | None = Field(default=None, pattern=_SHA256)
    insar_annotations: Path | None = None
    insar_raw: Path | None = None
    dask: str | None = Field(default=None, pattern=r"^(tcp|tls)://\S+$")
    automation: bool = False
    watch_from: date | None = None
    look_seconds: int = Field(default=300, ge=1)
    recheck_days: int = Field(default=5, ge=0)
    recheck_hours: float = Field(default=6, gt=0)
    daily_hour: int = Field(default=12, ge=0, le=23)
    chunk_days: int = Field(default=366, ge=1)
    retrain: Annotated[tuple[str, ...], NoDecode] = ("random_forest", "softmax", "pixel_forest")
    alert_area_km2: float = Field(default=100_000.0, ge=0, allow_inf_nan=False)
    alert_webhook: SecretStr | None = None
    alert_webhook_format: Literal["json", "slack"] | None = None
    alert_email: str | None = Field(default=None, pattern=_MAILS)
    alert_smtp: SecretStr = SecretStr("smtp://127.0.0.1")
    dagster_url: str = Field(default="http://127.0.0.1:3000", pattern=_ADDRESS)

    @field_validator("data_dir", mode="before")
    @classmethod
    def _root(cls, value: Any) -> Any:
        return Bucket(value) if isinstance(value, str) and is_bucket(value) else value

    @field_validator("work_dir", mode="before")
    @classmethod
    def _none(cls, value: Any) -> Any:
        return value or None

    @field_validator("gibs_url", "dagster_url", mode="before")
    @classmethod
    def _without_slash(cls, value: Any) -> Any:
        return value.rstrip("/") if isinstance(value, str) else value

    @field_validator("alert_webhook", "alert_smtp")
    @classmethod
    def _address(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        form = _ADDRESS if info.field_name == "alert_webhook" else _MAIL_SERVER
        if value is not None and not re.fullmatch(form, value.get_secret_value()):
            raise ValueError(f"should match {form}")
        return value

    @field_validator("gibs_url", "proxy", "insar_annotations_url", "insar_raw_url", "insar_crops_url", "dagster_url")
    @classmethod
    def _without_password(cls, value: str | None) -> str | None:
        if value is not None and "@" in urlsplit(value).netloc:
            raise ValueError(
                "it has a user or a password, which Dagster's pages would show; those of a proxy go into HTTPS_PROXY"
            )
        return value

    @model_validator(mode="after")
    def _shared(self) -> Self:
        if self.dask is not None and isinstance(self.data_dir, Bucket):
            raise ValueError("workers of dask see no bucket: leave out HEPH_DASK, or have HEPH_DATA_DIR name a folder")
        return self

    @field_validator("layers", "retrain", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(filter(None, (name.strip() for name in value.split(",")))) if isinstance(value, str) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then the file in the data folder."""
        del dotenv_settings, file_secret_settings
        told = env_settings() | init_settings()
        home = _home(told.get("data_dir", _FOLDER), told.get("work_dir"))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, home / SETTINGS_FILE)

    @property
    def root(self) -> Path:
        """The data root, which is a folder.

        Raises:
            ValueError: It is a bucket.
        """
        if isinstance(self.data_dir, Path):
            return self.data_dir
        raise ValueError(f"{self.data_dir.address} is no folder: HEPH_DATA_DIR must name one for this")

    @property
    def address(self) -> str:
        """The data root: an absolute folder, or `s3://<bucket>/<prefix>`."""
        return self.data_dir.address if isinstance(self.data_dir, Bucket) else str(self.data_dir.absolute())

    @property
    def home(self) -> Path:
        """Folder of this machine: the data root if it is a folder, and no other is set."""
        return _home(self.data_dir, self.work_dir)

    @property
    def dagster_home(self) -> Path:
        """Where Dagster keeps runs and events of this data folder, unless DAGSTER_HOME names another place."""
        return Path(os.environ.get("DAGSTER_HOME") or self.home / "dagster").absolute()

    @property
    def mlflow_uri(self) -> str:
        """The MLflow store: MLFLOW_TRACKING_URI, or a SQLite file in the data folder.

        Raises:
            ValueError: It has a password.
        """
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if uri and urlsplit(uri).password is not None:
            raise ValueError(
                "MLFLOW_TRACKING_URI has a password, which Dagster's pages would show: that of a server goes into "
                "MLFLOW_TRACKING_PASSWORD, and PostgreSQL's into PGPASSWORD"
            )
        return uri or f"sqlite:///{self.home.absolute() / MLFLOW_STORE}"

    @property
    def mlflow_artifacts(self) -> Path | None:
        """Where a store in the data folder keeps files; None where MLFLOW_TRACKING_URI names a store."""
        return None if os.environ.get("MLFLOW_TRACKING_URI") else self.home.absolute() / "mlruns"

    @property
    def mlflow_address(self) -> str:
        """Where the MLflow UI is: the server, or where `heph dev` serves the store."""
        uri = self.mlflow_uri
        return uri.rstrip("/") if uri.startswith("http") else "http://127.0.0.1:5000"

    @property
    def insar_dir(self) -> Path:
        """Where what is made of InSAR data is kept: tables, masks, crops."""
        return self.root / INSAR

    @property
    def insar_archives(self) -> Path:
        """Where annotations and raw interferograms come from, unless settings name other places."""
        return self.home / INSAR

    @property
    def insar_raw_dir(self) -> Path:
        """Where the raw interferograms are."""
        return self.insar_raw or self.insar_archives / "raw"

    @property
    def access(self) -> Access:
        """How servers are reached, and who asks."""
        return Access(self.proxy, self.ca_bundle, self.contact)

    def client(self, endpoint: str | None = None, connections: int | None = None) -> GibsClient:
        """A session with the server, not open yet; of another endpoint or number of connections if given."""
        from heph_dagster.gibs.client import GibsClient

        return GibsClient(
            self.gibs_url, endpoint or self.endpoint, connections=connections or self.connections, access=self.access
        )

    def alert_channels(self) -> list[Channel]:
        """The ways by which alerts are sent: the log, and the webhook and e-mail where they are set."""
        from heph_dagster.alerts.log import Log
        from heph_dagster.alerts.mail import Mail
        from heph_dagster.alerts.webhook import Webhook

        channels: list[Channel] = [Log()]
        if self.alert_webhook is not None:
            channels.append(Webhook(self.alert_webhook.get_secret_value(), self.access, self.alert_webhook_format))
        if self.alert_email is not None:
            recipients = tuple(each.strip() for each in self.alert_email.split(","))
            channels.append(Mail(self.alert_smtp.get_secret_value(), recipients, self.access))
        return channels

    def catalogue(self) -> Catalogue:
        """The shipped layers and those of the data folder."""
        return load_catalogue(self.home / CATALOGUE_FILE)

    def active_layers(self) -> list[ActiveLayer]:
        """The layers that get assets.

        Raises:
            ValueError: A name is unknown, or its layer is not available in that projection.
        """
        catalogue = self.catalogue()
        active = []
        for name in self.layers:
            prefix, _, rest = name.rpartition("/")
            epsg = prefix.removeprefix("epsg") or "4326"
            if not epsg.isdigit():
                raise ValueError(f"{name!r} in the setting layers should read <layer> or epsg<code>/<layer>")
            layer = catalogue[rest]
            layer.grid(int(epsg))
            active.append(ActiveLayer(layer, int(epsg)))
        return active

    def active_layer(self, name: str, epsg: int = 4326) -> ActiveLayer:
        """One of the active layers.

        Raises:
            UnknownLayerError: The catalogue does not have it.
            ValueError: It is not active.
        """
        layer = self.catalogue()[name]
        if (layer, epsg) not in self.active_layers():
            raise ValueError(
                f"{layer.identifier} in EPSG:{epsg} is not active; add it to HEPH_LAYERS or to layers in "
                f"{self.home / SETTINGS_FILE}. Active are: {', '.join(self.layers)}"
            )
        return ActiveLayer(layer, epsg)


def _home(data_dir: object, work_dir: object) -> Path:
    if work_dir:
        return Path(str(work_dir))
    return _FOLDER if isinstance(data_dir, Bucket) or is_bucket(str(data_dir)) else Path(str(data_dir))
