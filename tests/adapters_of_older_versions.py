"""lightune.json as older versions wrote it, literally but for its line breaks and the place and hash of the base.

By commits 0aafcc1 (format 1) and a5d6112 (0.2.0, format 2), of runs on a tiny DistilBERT with one file of each task.
"""

from __future__ import annotations

FORMAT_1 = """
{"format_version": 1, "base_model": "BASE", "base_revision": null, "base_sha256": "SHA256", "method": "lora",
"method_options": {"rank": 8, "alpha": 16, "dropout": 0.0, "roles": ["query", "key", "value", "attention_out",
"ffn_in", "ffn_out"], "target_modules": null, "use_rslora": false, "use_dora": false, "init_lora_weights": "default",
"loraplus_lr_ratio": 1.0}, "labels": ["negative", "positive"], "max_length": 64, "text_columns": ["text"],
"label_column": "label", "seed": 42, "model_precision": "fp32"}
"""
CLASSIFICATION = """
{"format_version": 2, "base_model": "distilbert", "base_revision": null, "base_sha256": "SHA256", "method": "lora",
"method_options": {"rank": 8, "alpha": 16, "dropout": 0.0, "roles": ["query", "key", "value", "attention_out",
"ffn_in", "ffn_out"], "target_modules": null, "use_rslora": false, "use_dora": false, "init_lora_weights": "default",
"loraplus_lr_ratio": 1.0}, "task": {"name": "classification", "labels": ["negative", "positive"], "temperature": 1.0},
"max_length": 64, "text_columns": ["text"], "label_column": "label", "seed": 42, "model_precision": "fp32",
"coverage": {"examples": 20, "answered": [20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20,
20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20,
20, 20, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "right": [10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10,
10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10,
10, 10, 10, 10, 10, 10, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]}, "labels": ["negative", "positive"]}
"""
MULTI_LABEL = """
{"format_version": 2, "base_model": "distilbert", "base_revision": null, "base_sha256": "SHA256", "method": "lora",
"method_options": {"rank": 8, "alpha": 16, "dropout": 0.0, "roles": ["query", "key", "value", "attention_out",
"ffn_in", "ffn_out"], "target_modules": null, "use_rslora": false, "use_dora": false, "init_lora_weights": "default",
"loraplus_lr_ratio": 1.0}, "task": {"name": "multi_label", "labels": ["art", "blame", "meal", "praise"], "separator":
";", "temperature": 1.0, "thresholds": []}, "max_length": 64, "text_columns": ["text"], "label_column": "label",
"seed": 42, "model_precision": "fp32", "coverage": {"examples": 20, "answered": [20, 20, 20, 20, 20, 20, 20, 20, 20,
20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20,
20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "right": [3, 3, 3, 3, 3, 3, 3, 3,
3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3,
3, 3, 3, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]}, "labels": ["art", "blame", "meal", "praise"]}
"""
REGRESSION = """
{"format_version": 2, "base_model": "distilbert", "base_revision": null, "base_sha256": "SHA256", "method": "lora",
"method_options": {"rank": 8, "alpha": 16, "dropout": 0.0, "roles": ["query", "key", "value", "attention_out",
"ffn_in", "ffn_out"], "target_modules": null, "use_rslora": false, "use_dora": false, "init_lora_weights": "default",
"loraplus_lr_ratio": 1.0}, "task": {"name": "regression", "labels": [], "columns": ["label"], "spread": [100.0],
"low": [1030.5], "high": [1130.5], "means": [1078.5487804878048], "deviations": [27.42791102856429], "is_folded":
true}, "max_length": 64, "text_columns": ["text"], "label_column": "label", "seed": 42, "model_precision": "fp32",
"coverage": null, "labels": []}
"""
