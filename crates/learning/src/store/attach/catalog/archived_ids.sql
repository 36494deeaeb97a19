select {id}::text from {archive} order by {id}
