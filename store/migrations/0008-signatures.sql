-- What a model says of itself, where it is served without a scoring script.

-- Such as "scikit-learn 1.9.1"; empty for a model that a script serves.
ALTER TABLE model_versions ADD COLUMN framework TEXT NOT NULL DEFAULT '';
-- JSON, as score/tensor has it; empty when the model does not tell.
ALTER TABLE model_versions ADD COLUMN signature TEXT NOT NULL DEFAULT '';
