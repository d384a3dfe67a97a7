from django.urls import path

from . import views

urlpatterns = [
    path("items/<path:item>/take", views.take),
    path("items/<path:item>/take-async", views.take_async),
    path("alive", views.alive),
]
