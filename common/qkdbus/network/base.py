"""What every part of the network file's model is made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0, le=1)]


class Model(BaseModel):
    """Base of every part of the file: unknown fields are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)
