-- Whether every learner is of this epoch.
select epoch = built_epoch, epoch from tierkeep_state
