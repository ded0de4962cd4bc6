"""The self-supervised methods, one file each, as subclasses of ``timm.task.TrainingTask``."""
