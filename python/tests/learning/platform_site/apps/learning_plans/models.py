"""The platform's tables, as far as they concern Tierkeep."""

import uuid
from typing import ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models
from django.utils import timezone


class User(AbstractBaseUser):
    uuid = models.UUIDField(primary_key=True, default=uuid.uuid4)
    email = models.CharField(max_length=254, unique=True)
    username = models.CharField(max_length=150)
    created_at = models.DateTimeField(default=timezone.now)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    is_superuser = models.BooleanField(default=False)
    is_deleted = models.BooleanField(default=False)

    USERNAME_FIELD = "email"
    objects: ClassVar[BaseUserManager["User"]] = BaseUserManager()

    class Meta:
        db_table = "users"


class CourseProgress(models.Model):
    course_uuid = models.UUIDField(primary_key=True, default=uuid.uuid4)
    user_uuid = models.ForeignKey(User, on_delete=models.CASCADE)
    content_id = models.UUIDField(default=uuid.uuid4)
    subject_name = models.CharField(max_length=100)
    user_experience = models.TextField(default="")
    proficiency_level = models.IntegerField(default=0)
    learning_hour_week = models.IntegerField(default=0)
    learning_hour_total = models.IntegerField(default=0)
    est_finish_hour = models.IntegerField(null=True)
    difficulty = models.IntegerField(default=1)
    feedback = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "course_progress"


class StudySession(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)
    start_time = models.DateTimeField()
    end_time = models.DateTimeField(null=True)
    duration_minutes = models.IntegerField()
    content_covered = models.TextField(default="")
    effectiveness_rating = models.SmallIntegerField(null=True)
    is_active = models.BooleanField(default=False)
    notes = models.TextField(default="")
    subject_category = models.CharField(max_length=50, default="")
    goal_id = models.UUIDField(null=True)
    learning_plan_id = models.UUIDField(null=True)
    break_count = models.SmallIntegerField(default=0)
    focus_score = models.DecimalField(max_digits=3, decimal_places=2, null=True)
    learning_environment = models.CharField(max_length=50, default="home")
    device_type = models.CharField(max_length=20, default="laptop")
    course_progress = models.ForeignKey(CourseProgress, null=True, on_delete=models.CASCADE)
    user = models.ForeignKey(User, on_delete=models.CASCADE)

    class Meta:
        db_table = "study_sessions"
