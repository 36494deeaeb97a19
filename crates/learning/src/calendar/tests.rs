//! Golden days, and properties against a slow model.
