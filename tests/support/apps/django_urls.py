"""The one view of the Django project, for any path."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import re_path

from tests.support.apps.answer import answer


def view(request: HttpRequest) -> HttpResponse:
    return HttpResponse(answer(request.restate_identity), content_type="application/json")  # type: ignore[attr-defined]


urlpatterns = [re_path("", view)]
