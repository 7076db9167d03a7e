//! Control groups: create, limit, join, measure, freeze, kill and remove.
