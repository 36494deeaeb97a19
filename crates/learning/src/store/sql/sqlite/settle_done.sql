-- Notes that every learner is of this epoch, if it still is the epoch. ?1 epoch.
update tierkeep_state set built_epoch = epoch where epoch = ?1 and built_epoch <> epoch
