"""Ordinary views. The middleware has verified every request that reaches them."""

import json
import logging

from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from restate_identity import current_identity

log = logging.getLogger("shop")


@csrf_exempt
def take(request: HttpRequest) -> JsonResponse:
    item = json.loads(request.body)["item"]
    identity = current_identity()
    log.info("taking one %s, signed by %s", item, identity.key if identity else None)
    return JsonResponse({"taken": item})


@csrf_exempt
async def take_async(request: HttpRequest) -> JsonResponse:
    item = json.loads(request.body)["item"]
    identity = current_identity()
    log.info("taking one %s, signed by %s", item, identity.key if identity else None)
    return JsonResponse({"taken": item})


def alive(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})
