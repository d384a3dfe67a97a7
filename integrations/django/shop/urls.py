from django.urls import path

from . import views

urlpatterns = [
    path("invoke/Stock/take", views.take),
    path("invoke/Stock/take_async", views.take_async),
    path("alive", views.alive),
]
