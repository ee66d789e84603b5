"""What calls the worker functions, as resources: stream mappings, event rules; and what is left over: dead letters,
alarms, logs.

All of it costs next to nothing while nothing runs. Lambda's reads of the stream are free of charge; the hourly sweep is
an ordinary rule (free) and some 730 short invocations a month, each with a few reads: about a cent. The alarms are
within CloudWatch's ten free ones.
"""

from __future__ import annotations

import json
from typing import Any

from infra.cfn import NOTHING, Json, attribute, ref, sub, when
from infra.functions import EVENT_DRIVEN, LOGICAL, SCHEDULE_GROUP, dead_letters_id, log_group
from infra.parameters import CLUSTERS_IN_USE
from infra.triggers import ENGINE_RULE, STREAM_TRIGGERS, SWEEP_EVERY_MINUTES, StreamTrigger

_FORTNIGHT = 14 * 24 * 3600


def _mapping(trigger: StreamTrigger) -> Json:
    """A function on the table's stream, from the beginning, so that nothing is missed while the stack is made."""
    filters = [{"Pattern": json.dumps(pattern, separators=(",", ":"))} for pattern in trigger.filters]
    return {
        "Type": "AWS::Lambda::EventSourceMapping",
        "Properties": {
            "FunctionName": ref(LOGICAL[trigger.function]),
            "EventSourceArn": attribute("Table", "StreamArn"),
            "StartingPosition": "TRIM_HORIZON",
            "BatchSize": trigger.batch_size,
            "BisectBatchOnFunctionError": trigger.bisect,
            "MaximumRetryAttempts": trigger.max_retries,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "FilterCriteria": {"Filters": filters},
            "DestinationConfig": {"OnFailure": {"Destination": attribute(dead_letters_id(trigger.function), "Arn")}},
        },
    }


def _rule(function: str, description: str, when_: Json) -> Json:
    target = {
        "Id": function,
        "Arn": attribute(LOGICAL[function], "Arn"),
        "DeadLetterConfig": {"Arn": attribute(dead_letters_id(function), "Arn")},
    }
    return {
        "Type": "AWS::Events::Rule",
        "Properties": {"Description": description, "State": "ENABLED", **when_, "Targets": [target]},
    }


def _rules() -> Json:
    ours = {**ENGINE_RULE, "detail": {**ENGINE_RULE["detail"], "virtualClusterId": CLUSTERS_IN_USE}}
    return {
        "EngineEventRule": _rule("engine_event", "A driver changed state", {"EventPattern": ours}),
        "SweepRule": _rule(
            "sweep", "Repairs what nobody rang for", {"ScheduleExpression": f"rate({SWEEP_EVERY_MINUTES} minutes)"}
        ),
    }


def _called_by_events(function: str) -> Json:
    """What lets EventBridge call a function and keep what failed."""
    name, queue = LOGICAL[function], dead_letters_id(function)
    rule = attribute(f"{name}Rule", "Arn")
    keeper = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": attribute(queue, "Arn"),
        "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
    }
    return {
        f"{name}Permission": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "FunctionName": ref(name),
                "Action": "lambda:InvokeFunction",
                "Principal": "events.amazonaws.com",
                "SourceArn": rule,
            },
        },
        f"{name}Retries": {
            "Type": "AWS::Lambda::EventInvokeConfig",
            "Properties": {
                "FunctionName": ref(name),
                "Qualifier": "$LATEST",
                "MaximumRetryAttempts": 2,
                "DestinationConfig": {"OnFailure": {"Destination": attribute(queue, "Arn")}},
            },
        },
        f"{queue}Policy": {
            "Type": "AWS::SQS::QueuePolicy",
            "Properties": {
                "Queues": [ref(queue)],
                "PolicyDocument": {"Version": "2012-10-17", "Statement": [keeper]},
            },
        },
    }


def _alarm(description: str, namespace: str, metric: str, statistic: str, dimension: tuple[str, Any]) -> Json:
    name, value = dimension
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmDescription": description,
            "Namespace": namespace,
            "MetricName": metric,
            "Dimensions": [{"Name": name, "Value": value}],
            "Statistic": statistic,
            "Period": 300,
            "EvaluationPeriods": 1,
            "Threshold": 0,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
            "AlarmActions": when("HasAlarmTopic", [ref("AlarmTopicArn")], NOTHING),
        },
    }


def _dead_letters(function: str) -> Json:
    queue = dead_letters_id(function)
    return {
        queue: {
            "Type": "AWS::SQS::Queue",
            "Properties": {"MessageRetentionPeriod": _FORTNIGHT, "SqsManagedSseEnabled": True},
        },
        f"{queue}Alarm": _alarm(
            f"Sparkplane: {function} could not do something; what, is in its dead-letter queue",
            "AWS/SQS",
            "ApproximateNumberOfMessagesVisible",
            "Maximum",
            ("QueueName", attribute(queue, "QueueName")),
        ),
    }


def _log_group(function: str) -> Json:
    return {
        "Type": "AWS::Logs::LogGroup",
        "Properties": {"LogGroupName": sub(log_group(function)), "RetentionInDays": ref("LogRetentionDays")},
    }


def resources() -> Json:
    """Everything that calls workers, with its dead letters and alarms, and the functions' log groups. Jobs' own
    schedules are made by `follow`, `ring` and `sweep`, in the group."""
    made = _rules()
    for trigger in STREAM_TRIGGERS:
        made |= {f"{LOGICAL[trigger.function]}OnStream": _mapping(trigger)} | _dead_letters(trigger.function)
    for function in EVENT_DRIVEN:
        made |= _called_by_events(function) | _dead_letters(function)
    for function, name in LOGICAL.items():
        made[f"{name}Logs"] = _log_group(function)
    made["ScheduleGroup"] = {"Type": "AWS::Scheduler::ScheduleGroup", "Properties": {"Name": sub(SCHEDULE_GROUP)}}
    made["DeadNoticesAlarm"] = _alarm(
        "Sparkplane: a notice was given up; why, is in its record and in the log of `notify`",
        "sparkplane",
        "DeadNotices",
        "Sum",
        ("service", "sparkplane"),
    )
    made["RunMachineAlarm"] = _alarm(
        "Sparkplane: an execution of the run machine failed; the sweep will adopt its run",
        "AWS/States",
        "ExecutionsFailed",
        "Sum",
        ("StateMachineArn", ref("RunMachine")),
    )
    return made
