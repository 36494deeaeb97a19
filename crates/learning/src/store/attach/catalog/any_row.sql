select exists (select from {table})
